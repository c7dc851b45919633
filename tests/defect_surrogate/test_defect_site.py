"""The defect site from structures alone: real relaxed ones, and ones made to mislead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from defect_surrogate.defect_site import composition_difference, locate_defect, matching_order
from defect_surrogate.errors import FolderError


@pytest.fixture(scope="module")
def bulk(hse_search) -> Structure:
    return Structure.from_file(hse_search / "bulk_POSCAR")


def without(bulk: Structure, index: int) -> Structure:
    structure = bulk.copy()
    structure.remove_sites([index])
    return structure


def shuffled(structure: Structure, seed: int) -> Structure:
    order = np.random.default_rng(seed).permutation(len(structure))
    return Structure.from_sites([structure[i] for i in order])


def shifted(structure: Structure, shift: np.ndarray) -> Structure:
    coordinates = structure.cart_coords + shift
    return Structure(structure.lattice, structure.species, coordinates, coords_are_cartesian=True)


def neighbours(bulk: Structure, index: int) -> list[int]:
    """Indices, in the bulk without site ``index``, of its four nearest neighbours."""
    distances = bulk.distance_matrix[index]
    return [i - (i > index) for i in np.argsort(distances)[1:5]]


def pulled(structure: Structure, atoms: list[int], target: np.ndarray, length: float) -> Structure:
    """Move atoms towards a Cartesian point by a length, Å."""
    result = structure.copy()
    for atom in atoms:
        _, image = result[atom].distance_and_image_from_frac_coords(structure.lattice.get_fractional_coords(target))
        vector = target + structure.lattice.get_cartesian_coords(image) - result[atom].coords
        result.translate_sites([atom], length * vector / np.linalg.norm(vector), frac_coords=False)
    return result


@pytest.mark.parametrize("name", ["POSCAR", "CONTCAR"])
def test_each_real_structure_alone_gives_the_site(hse_search, bulk, name):
    paths = sorted(hse_search.glob(f"*/{name}"))
    assert len(paths) == 26
    for path in paths:
        defect = locate_defect(bulk, [Structure.from_file(path)])
        assert (defect.name, defect.site_index, defect.environment) == ("v_Cd", 0, "4 Te")
        assert defect.fractional_position == pytest.approx((0, 0, 0))


@pytest.mark.parametrize("origin", [(0.125,) * 3, (0.25,) * 3, (0.1, 0.2, 0.3), (0.5,) * 3])
def test_a_bulk_of_another_origin_gives_the_same_place_in_the_structures(hse_search, bulk, origin):
    moved = Structure(bulk.lattice, bulk.species, bulk.frac_coords + origin)
    paths = [hse_search / "Unperturbed" / "POSCAR", *sorted(hse_search.glob("*/CONTCAR"))]
    structures = [Structure.from_file(path) for path in paths]
    defect = locate_defect(moved, structures)
    site, _ = bulk.lattice.get_distance_and_image(defect.fractional_position, [0, 0, 0])
    assert (defect.label, defect.environment) == ("v_Cd_0", "4 Te")
    assert site < 0.5
    for structure in structures:
        assert matching_order(structure, ideal=defect.ideal_structure) is None
        offsets = structure.frac_coords - defect.ideal_structure.frac_coords
        drift = np.median(offsets - np.round(offsets), axis=0)
        assert np.linalg.norm(bulk.lattice.get_cartesian_coords(drift)) < 0.5


def test_what_is_known_of_the_real_vacancy(hse_search, bulk):
    structure = Structure.from_file(hse_search / "Unperturbed" / "POSCAR")
    defect = locate_defect(bulk, [structure], charge=-2)
    assert (defect.host, defect.label, defect.kind, defect.element) == ("CdTe", "v_Cd_-2", "vacancy", "Cd")
    offsets = defect.ideal_structure.frac_coords - structure.frac_coords
    assert np.abs(offsets - np.round(offsets)).max() < 1e-6
    assert locate_defect(bulk, [structure], charge=1).label == "v_Cd_+1"


@given(
    index=st.integers(0, 63),
    seed=st.integers(0, 1000),
    drift=st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    rattle=st.floats(0, 0.25),
)
@settings(max_examples=40, deadline=None)
def test_any_vacancy_rattled_drifted_and_shuffled(bulk, index, seed, drift, rattle):
    structure = without(bulk, index)
    noise = np.random.default_rng(seed).normal(0, rattle + 1e-12, (len(structure), 3))
    structure = shuffled(shifted(structure, noise + np.array(drift)), seed)
    defect = locate_defect(bulk, [structure])
    assert (defect.site_index, defect.element) == (index, bulk[index].specie.symbol)
    assert matching_order(structure, ideal=defect.ideal_structure) is None


@pytest.mark.parametrize("index", [0, 9, 40])
def test_neighbours_pulled_in_by_1_5_angstrom(bulk, index):
    structure = without(bulk, index)
    structure = pulled(structure, neighbours(bulk, index), bulk[index].coords, 1.5)
    assert locate_defect(bulk, [shuffled(structure, 1)]).site_index == index


@pytest.mark.parametrize("index", [0, 9, 40])
def test_two_neighbours_moved_into_a_dimer(bulk, index):
    structure = without(bulk, index)
    first, second = neighbours(bulk, index)[:2]
    separation, image = structure[first].distance_and_image(structure[second])
    target = structure[second].coords + structure.lattice.get_cartesian_coords(image)
    structure = pulled(structure, [first], target, separation - 2.75)
    assert structure.get_distance(first, second) == pytest.approx(2.75)
    assert locate_defect(bulk, [shifted(structure, [0.17, -0.17, 0.17])]).site_index == index


def test_a_neighbour_of_another_element_in_the_vacant_site(bulk):
    structure = without(bulk, 0)
    atom = neighbours(bulk, 0)[0]
    distance = bulk.distance_matrix[0].round(6)
    structure = pulled(structure, [atom], bulk[0].coords, float(np.sort(distance)[1]))
    defect = locate_defect(bulk, [structure])
    assert (defect.name, defect.site_index) == ("v_Cd", 0)


def test_an_atom_of_the_same_element_in_the_vacant_site_is_outvoted(bulk):
    start = without(bulk, 0)
    cadmium = [i for i in range(len(start)) if start[i].specie.symbol == "Cd"]
    nearest = min(cadmium, key=lambda i: bulk[0].distance(start[i]))
    hopped = start.copy()
    hopped.replace(nearest, "Cd", bulk[0].frac_coords)
    assert locate_defect(bulk, [hopped]).site_index == nearest + 1
    defect = locate_defect(bulk, [hopped, start, start])
    assert defect.site_index == 0
    assert not any(site.distance(bulk[0]) < 0.1 for site in defect.ideal_structure)
    assert len({site.frac_coords.round(4).tobytes() for site in defect.ideal_structure}) == 63


def test_molten_and_foreign_structures_are_outvoted(bulk):
    random = np.random.default_rng(0)
    molten = Structure(bulk.lattice, without(bulk, 0).species, random.random((63, 3)))
    assert locate_defect(bulk, [bulk, molten, without(bulk, 5)]).site_index == 5
    with pytest.raises(FolderError, match=r"Cd31 Te32: atoms are 2\.\d+ Å \(median\) from the lattice sites"):
        locate_defect(bulk, [molten])


def test_substitution_antisite_and_interstitial(bulk):
    substituted = bulk.copy()
    substituted.replace(3, "Cl")
    antisite = bulk.copy()
    antisite.replace(40, "Cd")
    interstitial = bulk.copy()
    interstitial.append("Te", [0.375, 0.375, 0.125])
    for structure, name, kind, site in [
        (substituted, "Cl_Cd", "substitution", 3),
        (antisite, "Cd_Te", "substitution", 40),
        (interstitial, "Te_i", "interstitial", None),
    ]:
        moved = shuffled(shifted(structure, [0.2, 0.1, -0.1]), 7)
        defect = locate_defect(bulk, [moved])
        assert (defect.name, defect.kind, defect.site_index) == (name, kind, site)
        expected = bulk[site].frac_coords if site is not None else [0.375, 0.375, 0.125]
        assert defect.fractional_position == pytest.approx(tuple(expected), abs=1e-6)
        assert matching_order(moved, ideal=defect.ideal_structure) is None
        assert sum(s.distance(bulk[i]) < 1e-6 for s in defect.ideal_structure for i in range(64)) >= 63


def test_order_of_sites_is_restored(bulk):
    ideal = without(bulk, 0)
    structure = shuffled(shifted(ideal, [0.1, 0.1, 0.1]), 3)
    order = matching_order(structure, ideal=ideal)
    restored = Structure.from_sites([structure[i] for i in order])
    assert matching_order(restored, ideal=ideal) is None
    assert all(a.distance(b) < 0.2 for a, b in zip(restored, ideal, strict=True))
    same_elements = Structure.from_sites([ideal[i] for i in [*range(30, -1, -1), *range(31, 63)]])
    assert matching_order(same_elements, ideal=ideal)[:31].tolist() == list(range(30, -1, -1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s, r"Cd32 Te32 is not the bulk Cd32 Te32 with one point defect: 0 atoms removed, 0 added"),
        (lambda s: without(without(s, 0), 0), r"Cd30 Te32 .*: 2 atoms removed, 0 added"),
        (lambda s: without(without(s, 0), 40), r"Cd31 Te31 .*: 2 atoms removed, 0 added"),
        (lambda s: Structure(Lattice.cubic(14), s.species[1:], s.frac_coords[1:]), r"cell \[14.0, 14.0, 14.0, 90.0"),
    ],
)
def test_what_is_no_point_defect_of_the_bulk_is_refused(bulk, change, message):
    with pytest.raises(FolderError, match=message):
        locate_defect(bulk, [change(bulk)])


def test_a_primitive_bulk_cell_is_refused_with_advice(hse_search, bulk):
    primitive = Structure.from_file(hse_search / "host_primitive_POSCAR")
    with pytest.raises(FolderError, match="is the bulk file the supercell"):
        composition_difference(primitive, without(bulk, 0))
