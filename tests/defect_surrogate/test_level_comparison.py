"""Ground states of two levels: structures whose distance, cell and orientation are known, and real HSE06 ones."""

import dataclasses
import json

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from defect_surrogate.errors import InputError
from defect_surrogate.level_comparison import (
    GroundState,
    LevelComparison,
    compare_ground_states,
    comparison_json,
    comparison_markdown,
    comparison_rows,
    in_first_cell,
)

STATES = {"Cd": 2.0, "Te": -2.0}


@pytest.fixture(scope="module")
def ideal(zincblende_cdte):
    """The Cd vacancy in 2 x 2 x 2 cubic cells of CdTe, 63 atoms; its four neighbours are equivalent."""
    supercell = zincblende_cdte.to_conventional() * (2, 2, 2)
    supercell = supercell.get_sorted_structure()
    supercell.remove_sites([0])
    return supercell


@pytest.fixture(scope="module")
def neighbours(ideal):
    """Indices of the four Te atoms around the vacancy at the origin."""
    distances = ideal.lattice.get_all_distances([[0, 0, 0]], ideal.frac_coords)[0]
    return np.argsort(distances)[:4]


def dimer(ideal, first, second, length=2.8):
    """Two neighbours of the vacancy moved towards each other, until they are bonded."""
    structure = ideal.copy()
    distance, image = structure[first].distance_and_image(structure[second])
    half = (structure.lattice.get_cartesian_coords(structure[second].frac_coords + image) - structure[first].coords) / 2
    shift = half * (1 - length / distance)
    structure.translate_sites([int(first)], shift, frac_coords=False)
    structure.translate_sites([int(second)], -shift, frac_coords=False)
    return structure


def state(structure, ideal, level="HSE06 (VASP)", label="Dimer"):
    return GroundState(level, label, structure, ideal)


def compare(first, second, oxidation_states=STATES):
    return compare_ground_states(first, second, name="v_Cd_0", oxidation_states=oxidation_states)


def test_a_broken_bond_is_the_distance_its_atoms_moved(ideal, neighbours):
    a, b = neighbours[:2]
    bonded = dimer(ideal, a, b)
    found = compare(state(bonded, ideal), state(ideal, ideal, "PBEsol (VASP)", "Unperturbed"))
    moved = (ideal.get_distance(a, b) - 2.8) / 2
    assert found.largest_distance == pytest.approx(moved, abs=1e-6)
    assert found.labels == ("Dimer", "Unperturbed")
    assert [bond.sites for bond in found.bonds[0]] == [(min(a, b), max(a, b))]
    assert found.bonds[0][0].length == pytest.approx(2.8)
    assert found.motifs == ("Te–Te dimer, 2.80 Å", "no new bonds")
    assert found.bonds[1] == ()


def test_equivalent_dimers_are_one_ground_state(ideal, neighbours):
    a, b, c, d = neighbours
    found = compare(state(dimer(ideal, a, b), ideal), state(dimer(ideal, c, d), ideal))
    assert found.largest_distance == pytest.approx(0, abs=1e-3)
    assert found.bonds[0][0].sites != found.bonds[1][0].sites


def test_strain_of_the_host_drift_and_order_of_atoms_do_not_count(ideal, neighbours):
    a, b = neighbours[:2]
    bonded = dimer(ideal, a, b)
    larger = Lattice(ideal.lattice.matrix * 1.02)
    order = [*reversed(range(31)), *reversed(range(31, 63))]
    drift = np.array([0.004, -0.003, 0.002])
    second = Structure(larger, [bonded[i].specie for i in order], bonded.frac_coords[order] + drift)
    second_ideal = Structure(larger, [ideal[i].specie for i in order], ideal.frac_coords[order])
    found = compare(state(bonded, ideal), state(second, second_ideal))
    assert found.largest_distance == pytest.approx(0, abs=1e-6)
    assert found.bonds[1][0].length == pytest.approx(2.8 * 1.02)
    moved = in_first_cell(state(bonded, ideal), state(second, second_ideal))
    np.testing.assert_allclose(moved.lattice.matrix, ideal.lattice.matrix)
    np.testing.assert_allclose(moved.frac_coords, second.frac_coords)


def test_a_turned_lattice_is_not_a_strained_one(ideal):
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = Structure(Lattice(ideal.lattice.matrix @ turn), ideal.species, ideal.frac_coords)
    assert compare(state(ideal, ideal), state(turned, turned)).largest_distance == pytest.approx(0, abs=1e-6)


def test_what_is_not_one_defect_is_refused(ideal, zincblende_cdte):
    first = state(ideal, ideal)
    larger = Structure(Lattice(ideal.lattice.matrix * 1.08), ideal.species, ideal.frac_coords)
    with pytest.raises(InputError, match=r"cells differ by 8\.0%"):
        compare(first, state(larger, larger))
    fewer = ideal.copy()
    fewer.remove_sites([5])
    with pytest.raises(InputError, match="Cd31 Te32 and Cd30 Te32 are not one defect"):
        compare(first, state(fewer, fewer))
    elsewhere = (zincblende_cdte.to_conventional() * (2, 2, 2)).get_sorted_structure()
    elsewhere.remove_sites([7])
    with pytest.raises(InputError, match="not of one defect at one site"):
        compare(first, state(elsewhere, elsewhere))


def test_hse06_dimer_and_tetrahedron(hse_search):
    """Close to pymatgen's matcher, which takes out the drift by least squares where we take the median."""
    bulk = Structure.from_file(hse_search / "bulk_POSCAR")
    vacant = bulk.copy()
    vacant.remove_sites([0])
    bonded, open_shell = (
        Structure.from_file(hse_search / label / "CONTCAR") for label in ("Bond_Distortion_-55.0%", "Unperturbed")
    )
    found = compare(state(bonded, vacant), state(open_shell, vacant))
    assert found.motifs[0].startswith("Te–Te dimer, 2.7")
    assert found.motifs[1] == "no new bonds"
    matcher = StructureMatcher(primitive_cell=False, scale=False)
    normalised = matcher.get_rms_dist(bonded, open_shell)[1]
    assert found.largest_distance == pytest.approx(normalised * (bonded.volume / len(bonded)) ** (1 / 3), abs=0.02)


def test_table_has_the_columns_of_the_paper(ideal, neighbours):
    a, b = sorted(neighbours[:2])
    found = compare(state(dimer(ideal, a, b), ideal), state(ideal, ideal))
    found = dataclasses.replace(found, energy_difference=-0.4217)
    comparison = LevelComparison(
        "CdTe", ("HSE06 (VASP)", "PBEsol (VASP)"), (found,), (("v_Te_0", "has a ground state at one level only"),)
    )
    (row,) = comparison_rows(comparison)
    assert row == {
        "defect": "CdTe/v_Cd_0",
        "largest distance (Å)": f"{found.largest_distance:.2f}",
        "energy difference (eV)": "-0.42",
        "anion bonds (first)": f"Te({a}-{b}): 2.80",
        "anion bonds (second)": "",
    }
    text = comparison_markdown(comparison)
    assert "First: HSE06 (VASP); second: PBEsol (VASP)." in text
    assert "Not compared: v_Te_0: has a ground state at one level only" in text
    content = json.loads(comparison_json(comparison))
    assert content["differences"][0]["energy_difference"] == -0.4217
    assert content["differences"][0]["bonds"][0][0]["sites"] == [a, b]
