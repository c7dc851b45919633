"""Minima carried from one environment to another by the symmetry of the lattice."""

import dataclasses

import numpy as np
import pytest

from defect_surrogate.alloys import (
    Source,
    alloy_host,
    compositions_of,
    environment_vacancies,
    find_environments,
    transferred_starts,
)
from defect_surrogate.alloys.end_members import make_alloy, read_end_members
from defect_surrogate.settings import VacancySettings


@pytest.fixture(scope="module")
def host(cdsete, cdsete_settings):
    alloy = cdsete_settings.alloy.model_copy(update={"compositions": [0.5]})
    (composition,) = compositions_of(cdsete, alloy)
    return alloy_host(cdsete, composition, 1, alloy)


@pytest.fixture(scope="module")
def vacancies(cdsete, cdsete_settings, host):
    """One of each environment, by its label."""
    environments = find_environments(cdsete, host, ["Cd"], cdsete_settings.environments, cdsete_settings.minima)
    made = environment_vacancies(host, environments, cdsete_settings.environments, VacancySettings(), seed=3)
    return {one.name.removeprefix("v_Cd_"): one for one in made}


def dimer(vacancy, *elements, length=2.75, drift=(0.0, 0.0, 0.0)):
    """Two neighbours of the vacancy brought together."""
    structure = vacancy.ideal_structure.copy()
    sites = [next(i for i, s in zip(vacancy.neighbour_sites, vacancy.neighbours, strict=True) if s == elements[0])]
    sites.append(
        next(
            i
            for i, s in zip(vacancy.neighbour_sites, vacancy.neighbours, strict=True)
            if s == elements[1] and i not in sites
        )
    )
    a, b = (structure[i] for i in sites)
    image = a.distance_and_image(b)[1]
    apart = structure.lattice.get_cartesian_coords(b.frac_coords + image - a.frac_coords)
    push = apart * (1 - length / np.linalg.norm(apart)) / 2
    structure.translate_sites([sites[0]], push, frac_coords=False, to_unit_cell=False)
    structure.translate_sites([sites[1]], -push, frac_coords=False, to_unit_cell=False)
    structure.translate_sites(range(len(structure)), drift, frac_coords=False, to_unit_cell=False)
    assert structure.get_distance(*sites) == pytest.approx(length)
    return structure


def closest_pair(structure, vacancy):
    """Elements and distance of the two neighbours of a vacancy that are closest."""
    distances = structure.distance_matrix[np.ix_(vacancy.neighbour_sites, vacancy.neighbour_sites)]
    np.fill_diagonal(distances, np.inf)
    i, j = np.unravel_index(np.argmin(distances), distances.shape)
    return {vacancy.neighbours[i], vacancy.neighbours[j]}, distances[i, j]


@pytest.mark.parametrize(
    ("source", "elements", "target", "expected"),
    [
        ("4Te", ("Te", "Te"), "2Se2Te", {"Te"}),
        ("2Se2Te", ("Se", "Te"), "3Te1Se", {"Se", "Te"}),
        ("2Se2Te", ("Se", "Se"), "3Se1Te", {"Se"}),
        ("2Se2Te", ("Te", "Te"), "3Se1Te", {"Se", "Te"}),  # there is one Te only
        ("4Te", ("Te", "Te"), "4Se", {"Se"}),
    ],
)
def test_a_dimer_finds_atoms_of_its_elements_where_it_can(cdsete, host, vacancies, source, elements, target, expected):
    one = Source(vacancies[source], (dimer(vacancies[source], *elements, drift=(0.1, -0.05, 0.2)),))
    (start,) = transferred_starts(vacancies[target], [one], cdsete, host, reach=5.0)
    assert start.label == f"Transferred_{source}_1"
    assert start.structure.species == vacancies[target].ideal_structure.species
    pair, distance = closest_pair(start.structure, vacancies[target])
    assert pair == expected
    assert distance == pytest.approx(2.75, abs=0.02)  # the cell is cubic and all sites ideal


def test_atoms_beyond_the_reach_stay(cdsete, host, vacancies):
    source, target = vacancies["4Te"], vacancies["3Te1Se"]
    relaxed = source.ideal_structure.copy().perturb(0.2)
    (start,) = transferred_starts(target, [Source(source, (relaxed,))], cdsete, host, reach=5.0)
    moved = start.structure.frac_coords - target.ideal_structure.frac_coords
    lengths = np.linalg.norm((moved - np.round(moved)) @ host.host.supercell.lattice.matrix, axis=1)
    far = host.host.supercell.lattice.get_all_distances(target.fractional_position, target.ideal_structure.frac_coords)
    assert lengths[far[0] > 5.5] == pytest.approx(0.0, abs=1e-9)
    assert np.sum(lengths > 1e-6) == 16  # 4 anions at 0.43 a, 12 cations at 0.71 a


def test_the_environment_is_kept_as_a_whole(cdsete, host, vacancies):
    """Distances among the moved atoms and to the site are those of the source: a rotation, no more."""
    source, target = vacancies["4Te"], vacancies["4Se"]
    relaxed = dimer(source, "Te", "Te")
    (start,) = transferred_starts(target, [Source(source, (relaxed,))], cdsete, host, reach=5.0)
    for structure, vacancy in ((relaxed, source), (start.structure, target)):
        distances = structure.lattice.get_all_distances(vacancy.fractional_position, structure.frac_coords)[0]
        near = np.argsort(distances)[:16]
        yielded = np.sort(structure.distance_matrix[np.ix_(near, near)].ravel())
        assert len(yielded) == 256
        if vacancy is source:
            expected, radii = yielded, np.sort(distances)[:16]
    assert yielded == pytest.approx(expected, abs=1e-6)
    assert np.sort(distances)[:16] == pytest.approx(radii, abs=1e-6)


def test_starts_with_atoms_too_close_are_left_out(cdsete, host, vacancies):
    source = vacancies["4Te"]
    one = Source(source, (dimer(source, "Te", "Te", length=0.9),))
    assert transferred_starts(vacancies["4Se"], [one], cdsete, host, reach=5.0) == ()


@pytest.mark.parametrize(
    "matrix", [np.diag([4, 3, 3]), [[3, 0, 0], [0, 3, 0], [0, 0, 3]], [[4, 1, 0], [0, 3, 0], [1, 0, 3]]]
)
def test_every_operation_of_the_crystal_carries_minima_whatever_the_supercell(settings, matrix):
    """A dimer is carried onto the one pair of its elements, though few operations keep the supercell."""
    made = settings("CdTe", "CdSe", sublattice="Te", compositions=[0.5])
    cells = [
        dataclasses.replace(one, supercell=(one.unit_cell.get_primitive_structure() * matrix).get_sorted_structure())
        for one in read_end_members(made.alloy, made.host)
    ]
    alloy = make_alloy(cells, "Te")
    (composition,) = compositions_of(alloy, made.alloy)
    host = alloy_host(alloy, composition, 1, made.alloy)
    found = find_environments(alloy, host, ["Cd"], made.environments, made.minima)
    sites = environment_vacancies(
        host, found, made.environments.model_copy(update={"representatives": 3}), VacancySettings(), seed=3
    )
    targets = [one for one in sites if one.neighbours.count("Te") == 2]
    sources = [one for one in sites if one.neighbours.count("Te") > 2]
    assert targets
    assert sources
    for target in targets:
        for source in sources:
            carried = Source(source, (dimer(source, "Te", "Te", length=2.6),))
            (start,) = transferred_starts(target, [carried], alloy, host, reach=3.5)
            pair, distance = closest_pair(start.structure, target)
            assert pair == {"Te"}
            assert distance == pytest.approx(2.6, abs=0.02)


def test_nothing_is_carried_where_no_atom_is_near(cdsete, host, vacancies):
    source = Source(vacancies["4Te"], (vacancies["4Te"].ideal_structure,))
    assert transferred_starts(vacancies["4Se"], [source], cdsete, host, reach=2.0) == ()


@pytest.mark.parametrize("names", [("AgInS2", "AgGaS2"), ("AgGaS2", "AgInS2")])
def test_atoms_are_carried_to_sites_of_their_sublattice(settings, names):
    """AgInS2 is nearly zinc blende: turned about a cation, silver would come to rest on indium."""
    made = settings(*names, sublattice=names[0][2:4], compositions=[0.5])
    alloy = make_alloy(read_end_members(made.alloy, made.host), names[0][2:4])
    (composition,) = compositions_of(alloy, made.alloy)
    host = alloy_host(alloy, composition, 1, made.alloy)
    found = find_environments(alloy, host, ["S"], made.environments, made.minima)
    source, *targets = environment_vacancies(host, found, made.environments, VacancySettings(), seed=3)
    relaxed = source.ideal_structure.copy()
    silver = [i for i, element in zip(source.neighbour_sites, source.neighbours, strict=True) if element == "Ag"]
    for site in silver:
        relaxed.translate_sites([site], [0.04, 0.03, 0.02])
    for target in targets:
        (start,) = transferred_starts(target, [Source(source, (relaxed,))], alloy, host, reach=5.0)
        moved = start.structure.frac_coords - target.ideal_structure.frac_coords
        lengths = np.linalg.norm((moved - np.round(moved)) @ host.host.supercell.lattice.matrix, axis=1)
        assert {start.structure[i].specie.symbol for i in np.flatnonzero(lengths > 0.1)} == {"Ag"}


def test_nothing_comes_from_another_kind_of_site(settings):
    made = settings("Sb2S3", "Sb2Se3", sublattice="S", compositions=[0.0])
    alloy = make_alloy(read_end_members(made.alloy, made.host), "S")
    (composition,) = compositions_of(alloy, made.alloy)
    pure = alloy_host(alloy, composition, 1, made.alloy)
    environments = find_environments(alloy, pure, ["Sb"], made.environments, made.minima)
    one, other = environment_vacancies(pure, environments, made.environments, VacancySettings(), seed=1)
    assert transferred_starts(one, [Source(other, (other.ideal_structure,))], alloy, pure, reach=5.0) == ()
