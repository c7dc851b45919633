"""New anion-anion bonds and their motif: known structures, real reconstructions, and bonds that are not new."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from defect_surrogate.errors import InputError
from defect_surrogate.finished_search import read_finished_searches
from defect_surrogate.reconstruction import Bond, anion_elements, energy_lowering, motif, motif_kind, new_anion_bonds

CELL = Lattice.cubic(20)


def anions(*atoms: tuple[str, float, float, float]) -> Structure:
    return Structure(CELL, [a[0] for a in atoms], [a[1:] for a in atoms], coords_are_cartesian=True)


def apart(structure: Structure) -> Structure:
    """The same atoms, 6 Å from one another."""
    return anions(
        *((site.specie.symbol, 6 * (i % 3), 6 * (i // 3 % 3), 6 * (i // 9)) for i, site in enumerate(structure))
    )


def described(structure: Structure) -> str:
    return motif(new_anion_bonds(structure, ideal=apart(structure)))


@pytest.fixture(scope="module")
def search(hse_search):
    return read_finished_searches(hse_search, bulk=Structure.from_file(hse_search / "bulk_POSCAR")).searches[0]


def test_hybrid_dft_dimer_of_the_cadmium_vacancy(search):
    ideal = search.defect.ideal_structure
    (bond,) = new_anion_bonds(search.relaxations["Bond_Distortion_-55.0%"].structure, ideal=ideal)
    assert bond.elements == ("Te", "Te")
    assert bond.length == pytest.approx(2.75, abs=0.005)
    structure = search.relaxations["Bond_Distortion_-55.0%"].structure
    assert structure.get_distance(*bond.sites) == pytest.approx(bond.length)
    assert motif([bond]) == "Te–Te dimer, 2.75 Å"
    assert new_anion_bonds(search.relaxations["Unperturbed"].structure, ideal=ideal) == ()


def test_every_basin_has_one_motif(search):
    ideal = search.defect.ideal_structure
    for result in search.relaxations.values():
        bonds = new_anion_bonds(result.structure, ideal=ideal, oxidation_states={"Cd": 2, "Te": -2})
        assert len(bonds) == (1 if result.energy < -206 else 0)


def test_energy_lowering_of_hybrid_dft(search):
    assert energy_lowering(search.relaxations) == pytest.approx(-0.755, abs=0.0005)
    only_unperturbed = {"Unperturbed": search.relaxations["Unperturbed"]}
    assert energy_lowering(only_unperturbed) == 0
    assert energy_lowering({"Dimer": search.relaxations["Unperturbed"]}) is None
    assert energy_lowering({}) is None


@pytest.mark.parametrize(
    ("a", "b", "length"),
    [
        ("Te", "Te", 2.75),  # hybrid DFT, V_Cd in CdTe
        ("Te", "Te", 3.10),  # three-centre bonds of polytellurides
        ("Se", "Te", 2.59),
        ("Se", "Se", 2.40),
        ("S", "S", 2.05),  # S8
        ("S", "S", 2.18),  # pyrite
        ("I", "I", 2.67),  # I2
        ("I", "I", 2.92),  # triiodide
        ("Br", "Br", 2.28),
        ("Cl", "Cl", 1.99),
        ("F", "F", 1.42),
        ("O", "O", 1.49),  # peroxide
        ("I", "S", 2.60),
    ],
)
def test_bonds_of_known_length_are_found(a, b, length):
    structure = anions((b, 0, 0, 0), (a, length, 0, 0))
    (bond,) = new_anion_bonds(structure, ideal=apart(structure))
    assert bond == Bond(elements=(a, b), sites=(0, 1) if a == b else (1, 0), length=pytest.approx(length))


@pytest.mark.parametrize(
    ("element", "distance"),
    [("Te", 3.49), ("Se", 3.44), ("S", 3.3), ("O", 2.4), ("I", 3.5), ("Te", 4.28)],  # contacts, not bonds
)
def test_contacts_are_no_bonds(element, distance):
    structure = anions((element, 0, 0, 0), (element, distance, 0, 0))
    assert described(structure) == "no new bonds"


def test_a_bond_across_the_cell_boundary_is_found():
    structure = anions(("Te", 0.3, 0, 0), ("Te", 17.6, 0, 0), ("Cd", 5, 5, 5))
    assert described(structure) == "Te–Te dimer, 2.70 Å"


def test_bonds_of_the_ideal_structure_are_not_new():
    pyrite_like = anions(("Na", 0, 0, 0), ("S", 5, 5, 5), ("S", 7.1, 5, 5), ("S", 11, 5, 5))
    stretched = anions(("Na", 0, 0, 0), ("S", 5, 5, 5), ("S", 7.2, 5, 5), ("S", 9.3, 5, 5))
    (bond,) = new_anion_bonds(stretched, ideal=pyrite_like, oxidation_states={"Na": 1, "S": -0.5})
    assert bond.sites == (2, 3)
    assert new_anion_bonds(pyrite_like, ideal=pyrite_like) == ()


def test_cations_do_not_count():
    structure = anions(("Sb", 0, 0, 0), ("Sb", 2.8, 0, 0), ("S", 10, 0, 0), ("I", 12.5, 0, 0))
    assert described(structure) == "I–S dimer, 2.50 Å"


@pytest.mark.parametrize(
    ("elements", "states", "expected"),
    [
        (["Sb", "S", "I"], None, {"S", "I"}),
        (["Tl", "Ge", "S", "S"], None, {"S"}),
        (["Cd", "Se", "Te"], None, {"Se", "Te"}),
        (["Pb", "Te"], None, {"Te"}),  # Pb is the more electronegative on Pauling's scale
        (["Cu", "S"], {"Cu": 1.5, "S": -1.5}, {"S"}),
        (["Na", "S", "S"], {"Na": 1, "S": -0.5}, {"S"}),
        (["Li", "S", "O", "O", "O", "O"], {"Li": 1, "S": 6, "O": -2}, {"O"}),
        (["Cd", "Te", "Cl"], {"Cd": 2, "Te": -2}, {"Te", "Cl"}),  # a dopant without oxidation state
        (["Ga", "As"], None, {"As"}),
        (["Si", "C"], None, {"C"}),
        (["Si"], {"Si": 0}, {"Si"}),
    ],
)
def test_anions(elements, states, expected):
    structure = Structure(CELL, elements, [[i / 10, 0, 0] for i in range(len(elements))])
    assert anion_elements(structure, oxidation_states=states) == expected


def test_other_sites_than_the_ideal_ones_are_refused():
    with pytest.raises(InputError, match="Te1: 1 sites, the ideal structure has 2"):
        new_anion_bonds(anions(("Te", 0, 0, 0)), ideal=anions(("S", 0, 0, 0), ("Te", 5, 0, 0)))
    with pytest.raises(InputError, match="Te1 S1: site 0 is Te, in the ideal structure S"):
        new_anion_bonds(anions(("Te", 0, 0, 0), ("S", 5, 0, 0)), ideal=anions(("S", 0, 0, 0), ("Te", 5, 0, 0)))


def bonds(*entries: tuple[int, int, str, str, float]) -> list[Bond]:
    return [Bond(elements=(a, b), sites=(i, j), length=length) for i, j, a, b, length in entries]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], "no new bonds"),
        ([(0, 1, "Te", "Te", 2.758)], "Te–Te dimer, 2.76 Å"),
        ([(1, 0, "Se", "Te", 2.6)], "Se–Te dimer, 2.60 Å"),
        ([(0, 1, "Te", "Te", 2.73), (1, 2, "Te", "Te", 2.73)], "Te trimer (chain), 2.73 and 2.73 Å"),
        (
            [(0, 1, "Te", "Te", 2.82), (1, 2, "Te", "Te", 2.81), (0, 2, "Te", "Te", 2.81)],
            "Te trimer (ring), 2.81, 2.81 and 2.82 Å",
        ),
        ([(0, 1, "Te", "Te", 2.75), (2, 3, "Te", "Te", 2.74)], "2 Te–Te dimers, 2.74 and 2.75 Å"),
        ([(0, 2, "Se", "Te", 2.6), (1, 2, "Se", "Te", 2.61)], "Se2Te trimer (chain), 2.60 and 2.61 Å"),
        (
            [(0, 1, "Se", "Se", 2.4), (2, 3, "Te", "Te", 2.7), (3, 4, "Te", "Te", 2.7)],
            "Te trimer (chain), 2.70 and 2.70 Å; Se–Se dimer, 2.40 Å",
        ),
        (
            [(0, 1, "S", "S", 2.1), (1, 2, "S", "S", 2.1), (2, 3, "S", "S", 2.1)],
            "S tetramer (chain), 2.10, 2.10 and 2.10 Å",
        ),
        (
            [(0, 1, "S", "S", 2.1), (0, 2, "S", "S", 2.1), (0, 3, "S", "S", 2.1)],
            "S tetramer (branched), 2.10, 2.10 and 2.10 Å",
        ),
        (
            [(i, (i + 1) % 8, "S", "S", 2.05) for i in range(8)],
            "S group of 8 (ring), 2.05, 2.05, 2.05, 2.05, 2.05, 2.05, 2.05 and 2.05 Å",
        ),
        (
            [(i, j, "S", "S", 2.1) for i in range(4) for j in range(i)],
            "S tetramer (cage), 2.10, 2.10, 2.10, 2.10, 2.10 and 2.10 Å",
        ),
        (
            [(i, i + 1, "Te", "Te", 2.8) for i in (0, 1, 10, 11)],
            "2 Te trimers (chain), 2.80, 2.80, 2.80 and 2.80 Å",
        ),
    ],
)
def test_motif_in_words(entries, words):
    assert motif(bonds(*entries)) == words
    assert motif_kind(bonds(*entries)) == re.sub(r", [0-9.]+(, [0-9.]+)*( and [0-9.]+)? Å", "", words)


@given(order=st.permutations(range(5)), shift=st.tuples(*[st.floats(-1, 1)] * 3))
def test_motif_does_not_depend_on_the_order_of_sites_or_the_origin(order, shift):
    structure = anions(
        ("Te", 0, 0, 0), ("Te", 2.7, 0, 0), ("Te", 2.7, 2.8, 0), ("Se", 10, 10, 10), ("Te", 10, 10, 12.6)
    )
    ideal = apart(structure)
    moved = Structure(CELL, structure.species, structure.frac_coords + shift)
    found = new_anion_bonds(
        Structure.from_sites([moved[i] for i in order]), ideal=Structure.from_sites([ideal[i] for i in order])
    )
    assert motif(found) == "Te trimer (chain), 2.70 and 2.80 Å; Se–Te dimer, 2.60 Å"
    assert motif(reversed(found)) == motif(found)
    for bond in found:
        assert [structure[order[i]].specie.symbol for i in bond.sites] == list(bond.elements)
