"""The finer sampling set: which neighbours move, how far, and what is left out."""

import dataclasses
from itertools import combinations

import numpy as np
import pytest

from defect_surrogate.alloys import alloy_host, compositions_of, environment_vacancies, find_environments
from defect_surrogate.alloys.fine_sampling import (
    FineSampling,
    distorted_together,
    fine_sampling_set,
    without_duplicates,
)
from defect_surrogate.alloys.settings import NeighbourSettings
from defect_surrogate.distortions import SamplingStructure
from defect_surrogate.settings import DistortionSettings, VacancySettings


@pytest.fixture(scope="module")
def place(cdsete, cdsete_settings):
    """A supercell of CdSe0.5Te0.5 and its vacancy between two Se and two Te."""
    alloy = cdsete_settings.alloy.model_copy(update={"compositions": [0.5]})
    (composition,) = compositions_of(cdsete, alloy)
    host = alloy_host(cdsete, composition, 1, alloy)
    settings = cdsete_settings.environments.model_copy(update={"only": ["2 Te + 2 Se"]})
    environments = find_environments(cdsete, host, ["Cd"], settings, cdsete_settings.minima)
    (vacancy,) = environment_vacancies(host, environments, settings, VacancySettings(), seed=3)
    return host.host, vacancy


def sampling(**keys):
    return FineSampling(distortions=DistortionSettings(), neighbours=NeighbourSettings(**keys))


@pytest.fixture(scope="module")
def made(place):
    host, vacancy = place
    return fine_sampling_set(vacancy, host, sampling())


def test_every_pair_in_five_steps_and_the_unperturbed_structure(made, place):
    _, vacancy = place
    assert len(made.structures) == 31
    assert made.structures[0].label == "Unperturbed"
    labels = {one.label for one in made.structures[1:]}
    names = [f"{vacancy.ideal_structure[i].specie.symbol}{i}" for i in vacancy.neighbour_sites]
    assert labels == {
        f"Bond_Distortion_-{percent}.0%_{a}-{b}" for a, b in combinations(names, 2) for percent in (60, 50, 40, 30, 20)
    }
    assert (made.dropped, made.duplicates) == ((), ())


def test_the_pair_moves_by_the_distortion_and_the_rest_is_rattled(made, place):
    _, vacancy = place
    ideal = vacancy.ideal_structure
    before = ideal.lattice.get_all_distances(vacancy.fractional_position, ideal.frac_coords)[0]
    for start in made.structures[1:]:
        percent, _, pair = start.label.removeprefix("Bond_Distortion_").partition("%_")
        sites = [int("".join(c for c in one if c.isdigit())) for one in pair.split("-")]
        after = ideal.lattice.get_all_distances(vacancy.fractional_position, start.structure.frac_coords)[0]
        assert after[sites] == pytest.approx(before[sites] * (1 + float(percent) / 100), abs=1e-6)
        others = np.setdiff1d(np.arange(len(ideal)), sites)
        moved = start.structure.frac_coords - ideal.frac_coords
        lengths = np.linalg.norm((moved - np.round(moved)) @ ideal.lattice.matrix, axis=1)
        assert 0.1 < lengths[others].mean() < 0.6  # ShakeNBreak's rattle of a tenth of the bond length
        assert start.structure.species == ideal.species


def test_each_start_has_a_seed_and_it_decides(made, place):
    host, vacancy = place
    assert len({one.seed for one in made.structures}) == 31
    few = sampling(distortions=[-0.6])
    one, other = (fine_sampling_set(vacancy, host, few).structures for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a.structure.frac_coords, b.structure.frac_coords)


@pytest.mark.parametrize(
    ("missing", "together"),
    [(0, (2,)), (1, (1, 2)), (2, (2,)), (3, (2, 3)), (4, (2, 4)), (5, (2, 3)), (8, (2,)), (-1, (1, 2)), (None, (2,))],
)
def test_pairs_and_what_shakenbreak_distorts(missing, together):
    assert distorted_together(missing) == together


def test_missing_electrons_other_than_two_add_combinations(place):
    host, vacancy = place
    one = sampling(distortions=[-0.6])
    for missing, starts in ((1, 4 + 6), (2, 6), (3, 6 + 4), (4, 6 + 1)):
        charged = dataclasses.replace(vacancy, missing_electrons=missing)
        assert len(fine_sampling_set(charged, host, one).structures) == 1 + starts
    forced = sampling(distortions=[-0.6], together=[3])
    assert len(fine_sampling_set(vacancy, host, forced).structures) == 1 + 4


def test_starts_with_atoms_too_close_are_dropped_and_counted(place):
    host, vacancy = place
    made = fine_sampling_set(vacancy, host, sampling(distortions=[-0.9, -0.6]))
    assert len(made.structures) == 1 + 6
    assert len(made.dropped) == 6
    assert all("-90.0%" in label for label in made.dropped)


def test_near_duplicates_are_left_out_and_counted(place):
    host, vacancy = place
    made = fine_sampling_set(vacancy, host, sampling(distortions=[-0.6], duplicate_tolerance=5.0))
    assert len(made.structures) == 1
    assert len(made.duplicates) == 6
    made = fine_sampling_set(vacancy, host, sampling(distortions=[-0.6, -0.59, -0.3]))  # 0.03 Å apart before the rattle
    assert len(made.structures) == 1 + 12
    assert len(made.duplicates) == 6
    assert all("-59.0%" in label for label in made.duplicates)


def test_duplicates_are_told_across_the_border_of_the_cell(place):
    _, vacancy = place
    ideal = vacancy.ideal_structure
    shifted = ideal.copy()
    shifted.translate_sites([5], [1.0, 0, -1.0], to_unit_cell=False)
    moved = ideal.copy()
    moved.translate_sites([5], [0.2, 0, 0], frac_coords=False, to_unit_cell=False)
    starts = [SamplingStructure(vacancy, name, one, None) for name, one in (("a", ideal), ("b", shifted), ("c", moved))]
    kept, duplicates = without_duplicates(starts, tolerance=0.05)
    assert ([one.label for one in kept], duplicates) == (["a", "c"], ("b",))
    assert without_duplicates(starts[2:], tolerance=0.3, among=starts[:1]) == ((), ("c",))
