import pytest
from ase import Atoms
from tblite.ase import TBLite

from defect_surrogate.isolated_atoms import BOX, is_isolated_atom, isolated_atom
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import check_cell


@pytest.mark.parametrize("element", ["Te", "Mg"])
def test_the_box_does_not_change_the_energy(element):
    """Of the elements tried, Mg reaches furthest: 0.6 meV."""
    energies = []
    for edge in (BOX, 16.0):
        atom = Atoms(element, cell=[edge] * 3, pbc=True)
        atom.calc = TBLite(method="GFN1-xTB", accuracy=0.01, verbosity=0)
        energies.append(atom.get_potential_energy())
    assert energies[0] == pytest.approx(energies[1], abs=2e-3)


def test_one_atom_in_a_box_that_the_stand_in_takes():
    atom = isolated_atom("Cd")
    assert (len(atom), atom.lattice.abc) == (1, (BOX,) * 3)
    check_cell(atom, ReferenceSettings())


@pytest.mark.parametrize(
    ("unit", "is_atom"),
    [
        ("atoms/Te/Isolated/reference", True),
        ("CdTe/bulk/Host/reference", False),
        ("CdTe/v_Cd_0/Isolated/reference", False),
    ],
)
def test_units_of_atoms_are_told_by_their_names(unit, is_atom):
    assert is_isolated_atom(unit) is is_atom
