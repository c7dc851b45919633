"""GFN-xTB energies, forces and stress of one structure after another, by tblite.

GFN1-xTB: Grimme, Bannwarth, Shushkov, doi:10.1021/acs.jctc.7b00118; GFN2-xTB: Bannwarth, Ehlert, Grimme,
doi:10.1021/acs.jctc.8b01176. The SCC of each structure starts from the density of the one before, which saves about
half of its cycles along a relaxation and does not change where it ends.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .linear_algebra import OPENBLAS  # noqa: F401  # isort: skip  (loaded before tblite, to be used by it)

import numpy as np
from ase.units import Bohr, Hartree, kB
from tblite.exceptions import TBLiteRuntimeError
from tblite.interface import Calculator, Result
from tblite.library import get_version

from .errors import VaspXtbStop
from .incar import Settings

GFN_TEMPERATURE = 300.0
"""K. The electronic temperature GFN1-xTB is defined with (doi:10.1021/acs.jctc.7b00118)."""
MIXER_DAMPING = 0.25
"""Of tblite's Broyden mixer, 0.4 by default: needs about a tenth fewer cycles in CdTe; the result is the same."""
_ANY_DENSITY = 1e8
"""An SCC accuracy that every density meets: makes tblite evaluate forces from the density at hand."""
_CYCLES_AFTER_NELM = 20


@dataclass(frozen=True)
class ElectronicStep:
    """One SCC cycle: total energy and its change, eV, and the change of the density, e."""

    number: int
    energy: float
    change: float
    density_change: float


@dataclass(frozen=True)
class Evaluation:
    """What tblite gives for one structure.

    Attributes
    ----------
    energy
        Total energy of GFN-xTB, a free energy at the electronic temperature, eV.
    forces : (n, 3) array
        eV/Å.
    stress : (3, 3) array
        (1/V) dE/dε, eV/Å³: positive when the cell wants to shrink (ASE's sign).
    eigenvalues : (norb,) array
        eV.
    occupations : (2, norb) array
        Of the two spin channels, between 0 and 1; tblite gives their sum, split here by the Fermi filling it uses.
    fermi
        Fermi level, mean of the two spin channels, eV.
    steps
        SCC cycles.
    converged
        Whether the SCC converged within NELM cycles.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray
    eigenvalues: np.ndarray
    occupations: np.ndarray
    fermi: float
    steps: tuple[ElectronicStep, ...]
    converged: bool


class Engine:
    """tblite's calculator of one list of atoms, kept between structures for its density.

    Parameters
    ----------
    numbers : (n,) array of int
        Atomic numbers.
    method
        ``GFN1-xTB`` or ``GFN2-xTB``.
    charge
        e.
    unpaired
        Number of unpaired electrons.
    accuracy
        tblite's SCC accuracy.
    temperature
        Electronic temperature, K.
    max_cycles
        Largest number of SCC cycles.
    on_cycle
        Called with each SCC cycle as it ends.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        *,
        method: str,
        charge: float,
        unpaired: int,
        accuracy: float,
        temperature: float,
        max_cycles: int,
        on_cycle: Callable[[ElectronicStep], None],
    ) -> None:
        self._numbers = np.asarray(numbers)
        self._method = method
        self._charge = charge
        self._unpaired = unpaired
        self._accuracy = accuracy
        self._temperature = temperature
        self._max_cycles = max_cycles
        self._on_cycle = on_cycle
        self._steps: list[ElectronicStep] = []
        self._calculator: Calculator | None = None
        self._result = Result()

    def evaluate(self, positions: np.ndarray, cell: np.ndarray) -> Evaluation:
        """Return energy, forces and stress of a structure.

        Parameters
        ----------
        positions : (n, 3) array
            Cartesian, Å.
        cell : (3, 3) array
            Å.

        Raises
        ------
        VaspXtbStop
            If tblite refuses the structure or gives numbers that are not finite.
        """
        self._steps.clear()
        try:
            calculator = self._place(positions, cell)
            converged = self._converge(calculator)
        except TBLiteRuntimeError as error:
            raise VaspXtbStop(f"tblite: {error}") from error
        result = self._result
        eigenvalues = result.get("orbital-energies") * Hartree
        electrons = float(result.get("orbital-occupations").sum())
        channels = [
            fermi_filling(eigenvalues, (electrons + sign * self._unpaired) / 2, temperature=self._temperature)
            for sign in (1, -1)
        ]
        evaluation = Evaluation(
            energy=float(result.get("energy")) * Hartree,
            forces=-result.get("gradient") * Hartree / Bohr,
            stress=result.get("virial") * Hartree / abs(np.linalg.det(cell)),
            eigenvalues=eigenvalues,
            occupations=np.array([filling for filling, _ in channels]),
            fermi=sum(level for _, level in channels) / 2,
            steps=tuple(self._steps),
            converged=converged,
        )
        if not all(np.isfinite(x).all() for x in (evaluation.energy, evaluation.forces, evaluation.stress)):
            raise VaspXtbStop("tblite gave an energy, forces or stress that are not finite")
        return evaluation

    def _place(self, positions: np.ndarray, cell: np.ndarray) -> Calculator:
        """Return the calculator holding this structure."""
        coordinates, lattice = positions / Bohr, np.asarray(cell) / Bohr
        if self._calculator is None:
            calculator = Calculator(
                self._method,
                self._numbers,
                coordinates,
                self._charge,
                self._unpaired,
                lattice,
                np.ones(3, dtype=bool),
                color=False,
                logger=self._read_line,
            )
            calculator.set("temperature", self._temperature * kB / Hartree)
            calculator.set("mixer-damping", MIXER_DAMPING)
            calculator.set("accuracy", self._accuracy)
            calculator.set("max-iter", self._max_cycles)
            calculator.set("verbosity", 1)
            self._calculator = calculator
        else:
            self._calculator.update(coordinates, lattice)
        return self._calculator

    def _converge(self, calculator: Calculator) -> bool:
        """Run the SCC; where it does not converge, evaluate forces from its last density and return False."""
        try:
            calculator.singlepoint(self._result)
        except TBLiteRuntimeError as error:
            if "not converged" not in str(error):
                raise
        else:
            return True
        calculator.set("accuracy", _ANY_DENSITY)
        calculator.set("max-iter", _CYCLES_AFTER_NELM)
        calculator.set("verbosity", 0)
        calculator.singlepoint(self._result)
        calculator.set("accuracy", self._accuracy)
        calculator.set("max-iter", self._max_cycles)
        calculator.set("verbosity", 1)
        return False

    def _read_line(self, line: str) -> None:
        """Take an SCC cycle from a line of tblite's log: cycle, total energy, energy change, density change."""
        words = line.split()
        if len(words) != 4 or not words[0].isdigit():
            return
        energy = _real(words[1]) * Hartree
        before = self._steps[-1].energy if self._steps else 0.0
        step = ElectronicStep(len(self._steps) + 1, energy, energy - before, _real(words[3]))
        self._steps.append(step)
        self._on_cycle(step)


def fermi_filling(energies: np.ndarray, electrons: float, *, temperature: float) -> tuple[np.ndarray, float]:
    """Fill the levels of one spin channel by Fermi's distribution.

    Parameters
    ----------
    energies : (norb,) array
        Ascending, eV.
    electrons
        Number of electrons in the channel.
    temperature
        K.

    Returns
    -------
    (norb,) array
        Occupations between 0 and 1.
    float
        Fermi level, eV.
    """
    width = kB * temperature
    low, high = energies[0] - 50 * width, energies[-1] + 50 * width
    for _ in range(100):
        level = (low + high) / 2
        filling = 1 / (1 + np.exp(np.clip((energies - level) / width, -200, 200)))
        low, high = (level, high) if filling.sum() < electrons else (low, level)
    return filling, float(level)


def electronic_temperature(settings: Settings) -> float:
    """Return the electronic temperature, K: GFN-xTB's own unless ISMEAR = −1 asks for k_B·T = SIGMA."""
    return settings.sigma / kB if settings.ismear == -1 else GFN_TEMPERATURE


def scc_accuracy(ediff: float) -> float:
    """Return tblite's accuracy for VASP's EDIFF (eV): see the package's docstring."""
    return min(ediff, 1e-4) / 1e-2


def tblite_version() -> str:
    """Return the version of the tblite library, such as ``0.8.0``."""
    return ".".join(str(part) for part in get_version())


def _real(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan
