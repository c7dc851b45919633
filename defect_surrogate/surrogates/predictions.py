"""Energies, forces and stresses of given configurations by a force field, to be compared with those of the reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from defect_surrogate.surrogates.potentials import Potential, check_coverage


class Configuration(Protocol):
    """n atoms in a periodic cell, of a host with a name."""

    @property
    def host(self) -> str:
        """Name of the host."""

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers, shape (n,)."""

    @property
    def positions(self) -> NDArray[np.float64]:
        """Cartesian positions, shape (n, 3), Å."""

    @property
    def cell(self) -> NDArray[np.float64]:
        """Lattice vectors as rows, shape (3, 3), Å."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a force field says of k configurations.

    Attributes
    ----------
    potential
        Name or path the force field was asked for by.
    digest
        SHA-256 of its weights, 64 hexadecimal digits.
    level_of_theory
        Of the force field, in words.
    energies
        Potential energies, shape (k,), eV per supercell.
    forces
        For each configuration shape (n, 3), eV/Å.
    stresses
        Stress (1/V) ∂E/∂ε, shape (k, 3, 3), eV/Å³, positive under tension; NaN if the force field has none.
    """

    potential: str
    digest: str
    level_of_theory: str
    energies: NDArray[np.float64] = field(repr=False)
    forces: tuple[NDArray[np.float64], ...] = field(repr=False)
    stresses: NDArray[np.float64] = field(repr=False)


def predict(
    potential: Potential, frames: Sequence[Configuration], *, on_done: Callable[[], None] | None = None
) -> Predictions:
    """Evaluate configurations with a force field.

    Parameters
    ----------
    potential
        The force field.
    frames
        k configurations, e.g. the frames of a dataset.
    on_done
        Called after each configuration.

    Returns
    -------
    Predictions
        In the order of ``frames``.

    Raises
    ------
    PotentialError
        Naming the host, if the force field does not know one of its elements; before anything is evaluated.
    """
    elements: dict[str, set[str]] = {}
    for frame in frames:
        elements.setdefault(frame.host, set()).update(chemical_symbols[number] for number in np.unique(frame.numbers))
    for host, symbols in elements.items():
        check_coverage(potential, symbols, host=host)
    energies = np.full(len(frames), np.nan)
    stresses = np.full((len(frames), 3, 3), np.nan)
    forces = []
    for i, frame in enumerate(frames):
        atoms = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True)
        atoms.calc = potential.calculator
        if "stress" in potential.calculator.implemented_properties:
            stresses[i] = atoms.get_stress(voigt=False)  # first: energy and forces come with it
        energies[i] = atoms.get_potential_energy()
        forces.append(np.array(atoms.get_forces(), dtype=np.float64))
        if on_done is not None:
            on_done()
    return Predictions(
        potential=potential.name,
        digest=potential.digest,
        level_of_theory=potential.level_of_theory,
        energies=energies,
        forces=tuple(forces),
        stresses=stresses,
    )
