"""matgl's ASE calculator, which computes the stress only where it is asked for.

A relaxation in a fixed cell needs no stress, and is faster without. A module of its own, because matgl takes seconds to import.
"""

from ase import Atoms
from matgl.ext.ase import PESCalculator


class MatglWithStressOnDemand(PESCalculator):
    """Energy (eV), forces (eV/Å) and, if it is among the properties asked for, stress (eV/Å³) of a matgl potential."""

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] | None = None
    ) -> None:
        """Compute energy and forces, and stress if it is among the properties."""
        self.compute_stress = self.potential.calc_stresses = "stress" in (properties or ())
        super().calculate(atoms, properties=properties, system_changes=system_changes)
