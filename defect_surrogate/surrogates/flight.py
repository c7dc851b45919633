"""The structures that are being relaxed at this moment: a row each, in arrays on the device of the force field."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure
from torch import Tensor

from defect_surrogate.surrogates.batch import Batch
from defect_surrogate.surrogates.optimisers import Optimiser, State
from defect_surrogate.surrogates.unfinished import Arrays, Unfinished


@dataclass(eq=False)
class Run:
    """One relaxation.

    Attributes
    ----------
    index
        Place of its structure among those to be relaxed.
    start
        The structure, n sites.
    progress
        What is known of it so far; the row of the optimiser is in it only while it waits.
    numbers
        Atomic numbers, shape (n,).
    positions
        Of the start, shape (n, 3), Å.
    name
        For the force field: no two relaxations of a process have the same.
    """

    index: int
    start: Structure
    progress: Unfinished
    numbers: NDArray[np.int64] = field(init=False)
    positions: NDArray[np.float64] = field(init=False)
    name: int = field(init=False, default_factory=itertools.count().__next__)

    def __post_init__(self) -> None:
        self.numbers = np.array([site.specie.Z for site in self.start])
        self.positions = self.start.cart_coords


class Flight:
    """Relaxations in flight, b of them, each with a row of width w, three times the number of atoms of the largest.

    Parameters
    ----------
    optimiser
        That moves them.
    device
        Of the force field.
    """

    def __init__(self, optimiser: Optimiser, device: torch.device) -> None:
        self.runs: list[Run] = []
        self._optimiser, self._device = optimiser, device
        self._state: State = {"positions": torch.zeros(0, 0, dtype=torch.float64, device=device)}
        self._state |= optimiser.begin(0, 0, device)
        self._describe()

    @property
    def width(self) -> int:
        """Of the rows."""
        return self._state["positions"].shape[1]

    def shapes(self, atoms: int) -> dict[str, tuple[int, ...]]:
        """Shapes of what a relaxation of so many atoms has in its row, by name."""
        begun = self._optimiser.begin(1, 3 * atoms, self._device)
        return {"positions": (3 * atoms,), **{name: tuple(rows.shape[1:]) for name, rows in begun.items()}}

    def enter(self, runs: Sequence[Run]) -> None:
        """Add relaxations: new ones at their start, others where they were."""
        if not runs:
            return
        width = max(self.width, *(run.positions.size for run in runs))
        state = {name: _widened(name, rows, width) for name, rows in self._state.items()}
        new = {"positions": torch.zeros(len(runs), width, dtype=torch.float64, device=self._device)}
        new |= self._optimiser.begin(len(runs), width, self._device)
        for row, run in enumerate(runs):
            saved = run.progress.state or {"positions": run.positions.ravel()}
            for name, array in saved.items():
                values = torch.as_tensor(np.array(array), device=self._device)
                place = new[name][row]
                (place[..., : values.shape[-1]] if values.ndim else place).copy_(values)
            run.progress.state = {}
        self._state = {name: torch.cat([state[name], new[name]]) for name in state}
        self.runs = [*self.runs, *runs]
        self._describe()

    def leave(self, rows: Sequence[int]) -> list[Run]:
        """Take relaxations out, and keep with them what is needed to go on."""
        for row in rows:
            self.runs[row].progress.state = self.state(row)
        gone = [self.runs[row] for row in rows]
        self.drop(rows)
        return gone

    def drop(self, rows: Sequence[int]) -> Tensor:
        """Take out relaxations that have ended, and return which rows stayed."""
        out = set(rows)
        stay = [row for row in range(len(self.runs)) if row not in out]
        self.runs = [self.runs[row] for row in stay]
        keep = torch.tensor(stay, dtype=torch.long, device=self._device)
        width = max((run.positions.size for run in self.runs), default=0)
        self._state = {name: _widened(name, rows.index_select(0, keep), width) for name, rows in self._state.items()}
        self._describe()
        return keep

    def state(self, row: int) -> Arrays:
        """Copy the row of a relaxation."""
        width = self.runs[row].positions.size
        return {name: _widened(name, rows[row : row + 1], width)[0].cpu().numpy() for name, rows in self._state.items()}

    def batch(self) -> Batch:
        """Return the structures to evaluate."""
        positions = self._state["positions"].view(len(self.runs), -1, 3)[self._atoms]
        return Batch(self._names, self._numbers, positions, self._owners, self._cells)

    def rows(self, per_atom: Tensor) -> Tensor:
        """Bring what is of each atom, shape (n, 3), into rows, shape (b, w)."""
        rows = torch.zeros(len(self.runs), self.width // 3, 3, dtype=per_atom.dtype, device=self._device)
        rows[self._atoms] = per_atom
        return rows.view(len(self.runs), -1)

    def positions(self) -> Tensor:
        """Rows of the positions, shape (b, w), Å."""
        return self._state["positions"]

    def sizes(self) -> Tensor:
        """Numbers of atoms, shape (b,)."""
        return self._sizes

    def displacements(self) -> Tensor:
        """Rows of the displacements from the starts, shape (b, w), Å."""
        return self._state["positions"] - self._starts

    def move(self, forces: Tensor) -> None:
        """Take a step along forces, shape (b, w), eV/Å."""
        self._state["positions"] = self._state["positions"] + self._optimiser.step(
            self._state, self._state["positions"], forces
        )

    def _describe(self) -> None:
        """Make anew what depends on which relaxations are in flight."""
        runs, width, device = self.runs, self.width, self._device
        sizes = [len(run.numbers) for run in runs]
        self._names = tuple(run.name for run in runs)
        self._sizes = torch.tensor(sizes, dtype=torch.long, device=device)
        self._atoms = torch.arange(width // 3, device=device)[None] < self._sizes[:, None]
        self._owners = torch.repeat_interleave(torch.arange(len(runs), device=device), self._sizes)
        numbers = [run.numbers for run in runs] or [np.zeros(0, dtype=np.int64)]
        self._numbers = torch.tensor(np.concatenate(numbers), device=device)
        cells = np.array([run.start.lattice.matrix for run in runs]).reshape(-1, 3, 3)
        self._cells = torch.tensor(cells, dtype=torch.float64, device=device)
        starts = np.zeros((len(runs), width))
        for row, run in enumerate(runs):
            starts[row, : run.positions.size] = run.positions.ravel()
        self._starts = torch.tensor(starts, device=device)


_AS_WIDE = ("positions", "velocity", "last_positions", "last_forces", "steps", "changes")


def _widened(name: str, rows: Tensor, width: int) -> Tensor:
    """Fill rows up with zeros, or cut zeros off."""
    if name not in _AS_WIDE or rows.shape[-1] == width:
        return rows
    if rows.shape[-1] > width:
        return rows[..., :width]
    return torch.nn.functional.pad(rows, (0, width - rows.shape[-1]))
