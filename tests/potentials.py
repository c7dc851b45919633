"""Force fields for tests."""

from ase.calculators.calculator import Calculator

from defect_surrogate.surrogates import Potential
from defect_surrogate.surrogates.batch import CalculatorForceField


def as_potential(calculator: Calculator, *elements: str) -> Potential:
    """Make a force field of an ASE calculator."""
    known = frozenset(elements or {"Cu"})
    return Potential(
        "test", "0" * 64, "test", known, (("ase", "x"),), None, calculator, CalculatorForceField(calculator)
    )
