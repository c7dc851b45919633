"""Cells relaxed with a force field, against what is known of the crystal."""

import numpy as np
import pytest
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure

from defect_surrogate.errors import PotentialError
from defect_surrogate.surrogates import cell_method, relax_cell
from tests.potentials import as_potential


def copper(strain):
    cubic = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]]) * (2, 2, 2)
    return Structure(cubic.lattice.matrix @ (np.eye(3) + strain), cubic.species, cubic.frac_coords)


@pytest.mark.parametrize(
    "strain", [np.diag([0.04, 0.04, 0.04]), np.array([[0.03, 0.02, 0], [0.02, -0.03, 0], [0, 0, 0.01]])]
)
def test_a_strained_crystal_goes_back_to_its_lattice_constant(strain):
    """EMT copper has 3.594 Å at its minimum of energy (ASE's tests)."""
    relaxed = relax_cell(copper(strain), as_potential(EMT()))
    assert relaxed.converged
    assert relaxed.level == "surrogate"
    assert relaxed.structure.lattice.abc == pytest.approx((2 * 3.594,) * 3, abs=0.01)
    assert relaxed.structure.lattice.angles == pytest.approx((90.0,) * 3, abs=0.1)
    assert [site.specie.symbol for site in relaxed.structure] == ["Cu"] * 32
    assert relaxed.provenance.method == cell_method(as_potential(EMT()))


def test_unknown_elements_are_refused():
    with pytest.raises(PotentialError, match="does not know Cu"):
        relax_cell(copper(np.zeros((3, 3))), as_potential(EMT(), "Ag"))


class _Exploding(EMT):
    """EMT whose forces are no numbers."""

    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        self.results = self.results | {"energy": float("nan"), "free_energy": float("nan")}


def test_a_cell_without_a_finite_energy_has_diverged():
    start = copper(np.zeros((3, 3)))
    relaxed = relax_cell(start, as_potential(_Exploding()))
    assert (relaxed.reason, relaxed.converged, relaxed.rankable) == ("diverged", False, False)
    assert relaxed.structure == start
