"""What a force field evaluates at once, and what it is asked to be able to."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Structures to evaluate: b of them, n atoms in all.

    Attributes
    ----------
    names
        One for each structure, the same as long as only its positions change, so that a force field can keep what it knows of
        its surroundings.
    numbers
        Atomic numbers, shape (n,).
    positions
        Cartesian, not wrapped into the cell, shape (n, 3), Å, double precision.
    owners
        Structure of each atom, ascending, shape (n,).
    cells
        Lattice vectors as rows, shape (b, 3, 3), Å, double precision.
    """

    names: tuple[int, ...]
    numbers: Tensor
    positions: Tensor
    owners: Tensor
    cells: Tensor

    def halves(self) -> tuple["Batch", "Batch"]:
        """Split it into two batches, of at least two structures."""
        half = len(self.names) // 2
        atoms = int(torch.searchsorted(self.owners, half))
        return (
            Batch(
                self.names[:half], self.numbers[:atoms], self.positions[:atoms], self.owners[:atoms], self.cells[:half]
            ),
            Batch(
                self.names[half:],
                self.numbers[atoms:],
                self.positions[atoms:],
                self.owners[atoms:] - half,
                self.cells[half:],
            ),
        )


class ForceField(Protocol):
    """From a batch of structures to their energies and forces."""

    @property
    def device(self) -> torch.device:
        """Where it expects a batch, and leaves its results."""

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Evaluate structures.

        Parameters
        ----------
        batch
            On ``device``.

        Returns
        -------
        energies
            Shape (b,), eV, double precision.
        forces
            Shape (n, 3), eV/Å, double precision.
        """


class CalculatorForceField:
    """Any ASE calculator, one structure after the other on the CPU.

    Parameters
    ----------
    calculator
        Of energy (eV) and forces (eV/Å).
    """

    device = torch.device("cpu")

    def __init__(self, calculator: Calculator) -> None:
        self._calculator = calculator

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Evaluate structures; see ``ForceField``."""
        sizes = torch.bincount(batch.owners, minlength=len(batch.names)).tolist()
        parts = zip(batch.numbers.split(sizes), batch.positions.split(sizes), batch.cells, strict=True)
        energies, forces = [], []
        for numbers, positions, cell in parts:
            atoms = Atoms(numbers.numpy(), positions=positions.numpy(), cell=cell.numpy(), pbc=True)
            atoms.calc = self._calculator
            energies.append(atoms.get_potential_energy())
            forces.append(np.array(atoms.get_forces(), dtype=np.float64))
        return torch.tensor(energies, dtype=torch.float64), torch.from_numpy(np.concatenate(forces))
