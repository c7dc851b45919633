"""Basins that relaxations have ended in, and whether another one, of the same cell, has fallen into one of them.

Close to a minimum the energy is a parabola, whatever its curvature: the forces F at a displacement d from the minimum lie
-½ F·d above it, to the third order of d (Taylor's theorem for E and its gradient). An energy that agrees with this, at
positions that are nearly those of the minimum, would be that of another basin by chance only, and of one as low.

The same holds at a saddle, in which a relaxation can end that symmetry keeps there: so a basin is one only after two
relaxations have ended in it, since one that is rattled does not end in a saddle. benchmarks/relaxation/results.md has how often
a relaxation that would be merged goes on to another minimum.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from defect_surrogate.relaxation import Relaxation
from defect_surrogate.surrogates.flight import Run

NEARBY = 0.1
"""Å, farthest that an atom may be from where it is in the minimum (our choice; at 0.2 Å two of 244 were in another basin)."""

HIGHEST = 5e-3
"""eV above the minimum at most (our choice)."""

PARABOLIC = 5e-4
"""eV within which the energy is that of the parabola (our choice; 0.2 and 1 meV give the same)."""

AGAIN, AGAIN_NEARBY = 1e-3, 0.02
"""eV and Å within which two relaxations have ended in one minimum (our choice)."""


@dataclass(eq=False)
class Basin:
    """A minimum of n atoms.

    Attributes
    ----------
    positions
        Shape (n, 3), Å.
    energy
        eV.
    ends
        Relaxations that have ended in it.
    """

    positions: NDArray[np.float64]
    energy: float
    ends: int = 1


class Basins:
    """Minima that were reached, by cell: one lattice and the same elements in the same order.

    Parameters
    ----------
    elsewhere
        From the place of a structure to relaxations of the same defect that ended elsewhere since it was asked last.
    """

    def __init__(self, elsewhere: Callable[[int], Iterable[Relaxation]]) -> None:
        self._elsewhere = elsewhere
        self._found: dict[bytes, list[Basin]] = defaultdict(list)

    def add(self, structure: Structure, positions: NDArray[np.float64], energy: float) -> None:
        """Add where a relaxation converged: the cell of a structure, positions of shape (n, 3) in Å, and eV."""
        found = self._found[_cell(structure)]
        for basin in found:
            if (
                abs(energy - basin.energy) <= AGAIN
                and _farthest(_nearest(structure.lattice, positions - basin.positions)) <= AGAIN_NEARBY
            ):
                basin.ends += 1
                return
        found.append(Basin(positions, energy))

    def around(
        self, run: Run, positions: NDArray[np.float64], energy: float, forces: NDArray[np.float64]
    ) -> str | None:
        """Say which basin a relaxation is in, of those that two have ended in.

        Parameters
        ----------
        run
            The relaxation.
        positions, energy, forces
            Where it is: shape (n, 3), Å; eV; shape (n, 3), eV/Å.

        Returns
        -------
        str or None
            How far it is from the minimum, in words; None if it is in no basin that is known, as far as can be told.
        """
        for other in self._elsewhere(run.index):
            if other.converged:
                self.add(other.structure, other.structure.cart_coords, other.energy)
        for basin in self._found[_cell(run.start)]:
            above = energy - basin.energy
            if basin.ends > 1 and 0 < above <= HIGHEST:
                displacements = _nearest(run.start.lattice, positions - basin.positions)
                farthest = _farthest(displacements)
                if farthest <= NEARBY and abs(above + 0.5 * np.sum(forces * displacements)) <= PARABOLIC:
                    return f"{1e3 * above:.1f} meV above a minimum already reached, atoms within {farthest:.3f} Å of it"
        return None


def _cell(structure: Structure) -> bytes:
    return np.round(structure.lattice.matrix, 6).tobytes() + bytes(site.specie.Z for site in structure)


def _farthest(displacements: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(displacements, axis=1).max())


def _nearest(lattice: Lattice, displacements: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements to the nearest periodic images, but for a drift of the whole crystal, which costs no energy."""
    shifted = displacements - displacements.mean(axis=0)
    fractional = lattice.get_fractional_coords(shifted)
    nearest = lattice.get_cartesian_coords(fractional - np.round(fractional))
    return nearest - nearest.mean(axis=0)
