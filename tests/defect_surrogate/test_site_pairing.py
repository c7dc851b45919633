"""Pairing of atoms and lattice sites, and the shift between supercells of two origins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from defect_surrogate.errors import FolderError
from defect_surrogate.site_pairing import composition, formula, origin_shift, pair, symbols


@pytest.fixture(scope="module")
def rock_salt() -> Structure:
    """Supercell of 64 atoms; its lattice translations are known."""
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return cell * (2, 2, 2)


def displaced(structure: Structure, shift: tuple[float, float, float], *, seed: int, rattle: float) -> Structure:
    noise = np.random.default_rng(seed).normal(0, rattle, (len(structure), 3)) @ structure.lattice.inv_matrix
    return Structure(structure.lattice, structure.species, structure.frac_coords + np.array(shift) + noise)


@given(shift=st.tuples(*[st.floats(-1, 1)] * 3), index=st.integers(0, 63), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_any_shift_is_found_but_for_a_lattice_translation(rock_salt, shift, index, seed):
    vacancy = rock_salt.copy()
    vacancy.remove_sites([index])
    found = origin_shift(rock_salt, displaced(vacancy, shift, seed=seed, rattle=0.05))
    multiples = (found - np.array(shift)) * 4  # translations of the lattice are (i, j, k)/4, i + j + k even
    assert multiples == pytest.approx(np.round(multiples), abs=0.03)
    assert np.round(multiples).sum() % 2 == 0
    moved = Structure(rock_salt.lattice, rock_salt.species, rock_salt.frac_coords + found)
    pairing = pair(moved, displaced(vacancy, shift, seed=seed, rattle=0.05))
    assert moved[pairing.left_over].specie == rock_salt[index].specie
    assert np.abs(pairing.shift).max() < 0.01


def test_the_shortest_of_equivalent_shifts_is_taken(rock_salt):
    vacancy = rock_salt.copy()
    vacancy.remove_sites([0])
    assert origin_shift(rock_salt, vacancy) == pytest.approx([0, 0, 0], abs=1e-9)
    assert origin_shift(rock_salt, displaced(vacancy, (0.5, 0.5, 0), seed=0, rattle=0)) == pytest.approx([0, 0, 0])
    assert origin_shift(rock_salt, displaced(vacancy, (0.02, 0, -0.01), seed=0, rattle=0)) == pytest.approx(
        [0.02, 0, -0.01]
    )


def test_one_atom_far_from_its_site_does_not_mislead(rock_salt):
    vacancy = rock_salt.copy()
    vacancy.remove_sites([40])
    vacancy.translate_sites([0], [0.9, 0.9, 0.9], frac_coords=False)
    found = origin_shift(rock_salt, displaced(vacancy, (0.06, 0.07, 0.08), seed=0, rattle=0))
    assert found == pytest.approx([0.06, 0.07, 0.08], abs=1e-6)


def test_a_site_can_be_kept_empty(rock_salt):
    vacancy = rock_salt.copy()
    vacancy.remove_sites([3])
    assert pair(rock_salt, vacancy).left_over == 3
    assert pair(rock_salt, vacancy, left_over=5).left_over == 5


def test_no_common_element_and_a_molten_structure(rock_salt):
    foreign = Structure(rock_salt.lattice, ["Cd"], [[0, 0, 0]])
    assert origin_shift(rock_salt, foreign).tolist() == [0, 0, 0]
    with pytest.raises(FolderError, match=r"Cd1: atoms are inf Å"):
        pair(rock_salt, foreign)
    molten = Structure(rock_salt.lattice, rock_salt.species, np.random.default_rng(0).random((64, 3)))
    with pytest.raises(FolderError, match=r"Cl32 Na32: atoms are \d\.\d+ Å \(median\) from the lattice sites"):
        pair(rock_salt, molten)


def test_formula_of_a_supercell(rock_salt):
    assert formula(composition(rock_salt)) == "Cl32 Na32"
    assert symbols(rock_salt).count("Na") == 32
