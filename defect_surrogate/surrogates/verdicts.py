"""Whether a relaxation has ended, and why: converged, out of steps, or where a force field means nothing any more."""

from dataclasses import dataclass

import numpy as np
import torch
from ase.data import covalent_radii
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure
from torch import Tensor

from defect_surrogate.relaxation import Reason
from defect_surrogate.settings import SurrogateSettings

FORCE_LIMIT = 1e3
"""eV/Å above which a structure has exploded: a bond compressed to half its length has some 10² (our choice)."""

ENERGY_LIMIT = 50.0
"""eV per atom away from the start beyond which an energy is not one of matter: core electrons do not move (our choice)."""

LOST_FACTOR = 2.0
"""An atom farther from all others than this times the sum of covalent radii is lost, if not so at the start (our choice)."""

STRAYED = 1.0
"""Å from its start beyond which an atom is looked at, whether it is lost: none is within (our choice)."""


@dataclass(frozen=True, eq=False)
class Measures:
    """What decides, of b structures: arrays of shape (b,).

    Attributes
    ----------
    energies
        eV.
    finite
        Whether energy and forces are finite; booleans, no unit.
    mean_forces, max_forces
        Over atoms, eV/Å.
    displacements
        Largest distance of an atom from its start, Å.
    """

    energies: NDArray[np.float64]
    finite: NDArray[np.bool_]
    mean_forces: NDArray[np.float64]
    max_forces: NDArray[np.float64]
    displacements: NDArray[np.float64]


def measure(energies: Tensor, forces: Tensor, displacements: Tensor, sizes: Tensor) -> Measures:
    """Measure structures, and bring the numbers to the CPU in one transfer.

    Parameters
    ----------
    energies
        Shape (b,), eV.
    forces, displacements
        Shape (b, w), eV/Å and Å; zeros beyond the atoms of a structure.
    sizes
        Numbers of atoms, shape (b,).

    Returns
    -------
    Measures
    """
    norms = forces.view(len(forces), -1, 3).norm(dim=2)
    finite = torch.isfinite(energies) & torch.isfinite(norms).all(1)
    farthest = displacements.view(len(forces), -1, 3).norm(dim=2).amax(1)
    columns = torch.stack([energies, finite.double(), norms.sum(1) / sizes, norms.amax(1), farthest]).cpu().numpy()
    return Measures(columns[0], columns[1] > 0, *columns[2:])


def verdict(
    measures: Measures, row: int, *, start_energy: float, atoms: int, steps: int, settings: SurrogateSettings
) -> tuple[Reason | None, str]:
    """Say whether a relaxation has ended, but for lost atoms.

    Parameters
    ----------
    measures, row
        Where its measures are.
    start_energy
        eV.
    atoms
        Their number.
    steps
        Taken so far.
    settings
        Criterion, tolerance and most steps.

    Returns
    -------
    tuple of Reason or None, and str
        None while it goes on; else the reason and what it says in numbers.
    """
    energy, largest = measures.energies[row], measures.max_forces[row]
    after = f"after {steps} steps"
    if not measures.finite[row]:
        return "diverged", f"energy {energy:g} eV or a force is not finite {after}"
    if largest > FORCE_LIMIT:
        return "diverged", f"exploded: a force of {largest:.3g} eV/Å {after}"
    if abs(energy - start_energy) > ENERGY_LIMIT * atoms:
        return "diverged", f"exploded: energy {energy:.4g} eV, {start_energy:.4g} eV at the start {after}"
    force = measures.mean_forces[row] if settings.force_criterion == "mean" else largest
    shown = f"{settings.force_criterion} force {force:.2e} eV/Å {after}"
    if force <= settings.force_tolerance:
        return "converged", shown
    if steps >= settings.max_steps:
        return "step limit", f"{shown}, above {settings.force_tolerance:g}"
    return None, ""


def lost_atom(start: Structure, positions: NDArray[np.float64]) -> str | None:
    """Find an atom that has left all others.

    Parameters
    ----------
    start
        n sites.
    positions
        Of the atoms now, shape (n, 3), Å.

    Returns
    -------
    str or None
        Index and element of the first such atom in words, if it was not alone at the start.
    """
    numbers = np.array([site.specie.Z for site in start])
    strayed = np.flatnonzero(np.linalg.norm(positions - start.cart_coords, axis=1) > STRAYED)
    alone = strayed[_are_alone(start.lattice, numbers, positions, strayed)]
    lost = alone[~_are_alone(start.lattice, numbers, start.cart_coords, alone)]
    return f"lost atom {lost[0]} ({start[lost[0]].specie.symbol}): no neighbour left" if lost.size else None


def _are_alone(
    lattice: Lattice, numbers: NDArray[np.int64], positions: NDArray[np.float64], atoms: NDArray[np.intp]
) -> NDArray[np.bool_]:
    if not atoms.size:
        return np.zeros(0, dtype=bool)
    fractional = lattice.get_fractional_coords(positions)
    distances = lattice.get_all_distances(fractional[atoms], fractional)
    distances[np.arange(len(atoms)), atoms] = min(lattice.abc)  # to its own periodic image
    radii = covalent_radii[numbers]
    alone: NDArray[np.bool_] = (distances >= LOST_FACTOR * (radii[atoms, None] + radii)).all(axis=1)
    return alone
