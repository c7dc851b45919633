"""Errors of a surrogate's energies, forces and stresses against those of the reference, for the same configurations.

The definitions follow Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9; Table 1, Methods, SI 1.C), whose fine-tuned
M3GNet has on unseen compositions 31.2 meV/atom for energies, 11.3 for energies relative to the ground state of each defect,
3.6 for those of configurations less than 5 eV above it, and a rank correlation of 0.72. Two choices are ours, since the paper
is silent: means over several defects weigh every configuration equally, but for the rank correlation, which is averaged over
defects; and the ground state, whose relative energy has no error by construction, is not counted among the relative energies.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import units
from numpy.typing import NDArray
from scipy.stats import spearmanr

LOW_ENERGY = 5.0
"""Energy above the ground state of a defect below which a configuration matters to a search, eV (paper, Results)."""

_LEAST_TO_RANK = 3  # two configurations always correlate perfectly


@dataclass(frozen=True)
class Errors:
    """Summary of a set of errors.

    Attributes
    ----------
    mae
        Mean absolute error, in the unit of the function that made it.
    rmse
        Root mean square error, in the same unit.
    count
        Number of values compared.
    """

    mae: float
    rmse: float
    count: int


def energy_errors(
    predicted: NDArray[np.float64], reference: NDArray[np.float64], *, atoms: NDArray[np.int64]
) -> Errors | None:
    """Errors of absolute energies per atom, meV/atom.

    Parameters
    ----------
    predicted, reference
        Energies of k configurations, shape (k,), eV per supercell.
    atoms
        Number of atoms of each, shape (k,).

    Returns
    -------
    Errors or None
        In meV/atom; None without a configuration.
    """
    return _errors(1e3 * (predicted - reference) / atoms)


def force_errors(predicted: Sequence[NDArray[np.float64]], reference: Sequence[NDArray[np.float64]]) -> Errors | None:
    """Errors of the Cartesian components of the forces, as matgl counts them, meV/Å.

    Parameters
    ----------
    predicted, reference
        Forces of k configurations, each of shape (n, 3), eV/Å.

    Returns
    -------
    Errors or None
        In meV/Å, over all 3n components of all configurations; None without a configuration.
    """
    differences = [1e3 * (ours - theirs).ravel() for ours, theirs in zip(predicted, reference, strict=True)]
    return _errors(np.concatenate(differences)) if differences else None


def stress_errors(predicted: NDArray[np.float64], reference: NDArray[np.float64]) -> Errors | None:
    """Errors of the nine components of the stress, as matgl counts them, GPa.

    Parameters
    ----------
    predicted, reference
        Stresses of k configurations of one sign, shape (k, 3, 3), eV/Å³; configurations that are NaN in either are left out.

    Returns
    -------
    Errors or None
        In GPa; None if no configuration has both.
    """
    differences = (predicted - reference) / units.GPa
    known = ~np.isnan(differences).any(axis=(1, 2))
    return _errors(differences[known].ravel())


def relative_energy_errors(
    predicted: NDArray[np.float64],
    reference: NDArray[np.float64],
    *,
    atoms: NDArray[np.int64],
    below: float = math.inf,
) -> Errors | None:
    """Errors of the energies of one defect relative to that of its ground state, meV/atom.

    Parameters
    ----------
    predicted, reference
        Energies of k configurations of one defect, shape (k,), eV per supercell. The ground state is the configuration with the
        lowest ``reference`` energy, also for ``predicted``.
    atoms
        Number of atoms of each, shape (k,).
    below
        Only configurations less than this above the ground state in ``reference`` count, eV, e.g. ``LOW_ENERGY``.

    Returns
    -------
    Errors or None
        In meV/atom, the ground state not counted; None if no other configuration is left.
    """
    if not len(reference):
        return None
    ground = int(np.argmin(reference))
    relative = reference - reference[ground]
    counted = relative < below
    counted[ground] = False
    differences = predicted - predicted[ground] - relative
    return _errors(1e3 * differences[counted] / atoms[counted])


def spearman(predicted: NDArray[np.float64], reference: NDArray[np.float64]) -> float | None:
    """Rank correlation of the energies of one defect (Spearman's coefficient; paper, Methods).

    Parameters
    ----------
    predicted, reference
        Energies of k configurations of one defect, shape (k,), eV.

    Returns
    -------
    float or None
        Dimensionless, between -1 and 1; None with fewer than three configurations, or if all energies of either are equal.
    """
    if len(reference) < _LEAST_TO_RANK or np.ptp(reference) == 0 or np.ptp(predicted) == 0:
        return None
    return float(spearmanr(predicted, reference).statistic)


def pooled(parts: Iterable[Errors | None]) -> Errors | None:
    """Errors of a set from those of its parts.

    Parameters
    ----------
    parts
        Errors of disjoint parts, in one unit.

    Returns
    -------
    Errors or None
        As if taken over the whole set; None if every part is.
    """
    known = [part for part in parts if part is not None]
    count = sum(part.count for part in known)
    if not count:
        return None
    return Errors(
        mae=math.fsum(part.mae * part.count for part in known) / count,
        rmse=math.sqrt(math.fsum(part.rmse**2 * part.count for part in known) / count),
        count=count,
    )


def _errors(differences: NDArray[np.float64]) -> Errors | None:
    if not differences.size:
        return None
    return Errors(
        mae=float(np.abs(differences).mean()),
        rmse=float(np.sqrt(np.square(differences).mean())),
        count=int(differences.size),
    )
