import numpy as np
import pytest

from defect_surrogate.distortions import sampling_set
from defect_surrogate.hosts import read_host
from defect_surrogate.relaxation import structure_digest
from defect_surrogate.settings import DistortionSettings, HostSettings, VacancySettings
from defect_surrogate.vacancies import find_vacancies

PAPERS_LABELS = [
    "Unperturbed",
    *(f"Bond_Distortion_{percent:.1f}%" for percent in range(-60, 70, 10)),
    "Dimer",
]


@pytest.fixture(scope="module")
def host(hse_search):
    return read_host(hse_search / "bulk_POSCAR", HostSettings())


@pytest.fixture(scope="module")
def vacancy(host):
    (vacancy,) = find_vacancies(host, VacancySettings())
    return vacancy


@pytest.fixture(scope="module")
def sampled(vacancy, host):
    return sampling_set(vacancy, host, DistortionSettings())


def by_label(sampled, label):
    (found,) = [start for start in sampled.structures if start.label == label]
    return found


def neighbour_distances(vacancy, structure):
    site = np.array(vacancy.fractional_position)
    tellurium = [s.frac_coords for s in structure if s.specie.symbol == "Te"]
    return np.sort(structure.lattice.get_all_distances([site], tellurium)[0])


def test_exactly_the_papers_fifteen(sampled):
    assert [start.label for start in sampled.structures] == PAPERS_LABELS
    assert sampled.dropped == ()


def test_the_unperturbed_is_the_ideal_one(sampled, vacancy):
    start = by_label(sampled, "Unperturbed")
    assert structure_digest(start.structure) == structure_digest(vacancy.ideal_structure)
    assert start.seed is None


def test_each_has_a_seed_and_a_rattle_of_its_own(sampled, vacancy):
    rattled = [start for start in sampled.structures if start.label != "Unperturbed"]
    assert len({start.seed for start in rattled}) == 14
    far = int(
        np.argmax(
            vacancy.ideal_structure.lattice.get_all_distances(
                [vacancy.fractional_position], vacancy.ideal_structure.frac_coords
            )[0]
        )
    )
    positions = {tuple(np.round(start.structure[far].coords, 6)) for start in rattled}
    assert len(positions) == 14


@pytest.mark.parametrize("factor", [-0.6, -0.3, 0.3, 0.6])
def test_two_neighbours_are_distorted_by_the_factor(sampled, vacancy, factor):
    bond = neighbour_distances(vacancy, vacancy.ideal_structure)[0]
    distances = neighbour_distances(vacancy, by_label(sampled, f"Bond_Distortion_{factor:.1%}").structure)
    assert np.sum(np.isclose(distances, bond * (1 + factor), atol=1e-6)) == 2


def test_the_dimer_is_two_angstrom_long(sampled):
    structure = by_label(sampled, "Dimer").structure
    tellurium = [i for i, site in enumerate(structure) if site.specie.symbol == "Te"]
    distances = structure.distance_matrix[np.ix_(tellurium, tellurium)]
    assert distances[np.triu_indices(len(tellurium), 1)].min() == pytest.approx(2.0, abs=1e-6)


def test_the_rattle_is_a_tenth_of_the_bond(sampled, vacancy):
    start = by_label(sampled, "Bond_Distortion_0.0%").structure
    moved = np.array([a.distance(b) for a, b in zip(start, vacancy.ideal_structure, strict=True)])
    bond = neighbour_distances(vacancy, vacancy.ideal_structure)[0]
    assert moved[moved > 1e-6].mean() == pytest.approx(1.6 * 0.1 * bond, rel=0.3)


def test_the_same_settings_give_the_same_structures(sampled, vacancy, host):
    again = sampling_set(vacancy, host, DistortionSettings())
    assert [structure_digest(a.structure) for a in again.structures] == [
        structure_digest(b.structure) for b in sampled.structures
    ]
    other = sampling_set(vacancy, host, DistortionSettings(seed=7))
    assert structure_digest(other.structures[1].structure) != structure_digest(sampled.structures[1].structure)


def test_no_missing_electrons_means_a_rattle(host):
    (vacancy,) = find_vacancies(host, VacancySettings(charge=-2))
    assert [s.label for s in sampling_set(vacancy, host, DistortionSettings()).structures] == [
        "Unperturbed",
        "Rattled",
        "Dimer",
    ]


def test_atoms_too_close_are_dropped_and_named(vacancy, host):
    sampled = sampling_set(vacancy, host, DistortionSettings(dimer_bond_length=0.8))
    assert sampled.dropped == ("Dimer",)
    assert [start.label for start in sampled.structures] == PAPERS_LABELS[:-1]


@pytest.mark.parametrize(("increment", "count"), [(0.3, 5), (0.25, 5), (0.6, 3)])
def test_the_increment_is_symmetric(vacancy, host, increment, count):
    labels = [s.label for s in sampling_set(vacancy, host, DistortionSettings(increment=increment)).structures]
    distortions = [float(label.split("_")[-1][:-1]) for label in labels if label.startswith("Bond")]
    assert len(distortions) == count
    assert distortions == [-d for d in reversed(distortions)]


def test_no_oxidation_states_are_left(sampled):
    assert all(
        site.specie.oxi_state is None if hasattr(site.specie, "oxi_state") else True
        for start in sampled.structures
        for site in start.structure
    )
