"""Pairing of the atoms of a supercell with the lattice sites of another.

Atoms of each element are paired with the lattice sites of that element so that the sum of their distances (nearest periodic
images) is smallest, an assignment problem (Kuhn, doi:10.1002/nav.3800020109) solved by SciPy. Distances enter linearly: then
moving one atom far never costs more than moving a row of atoms one site each, and a reconstruction, a dimer say, does not move
a vacancy. The crystal may have drifted as a whole, so pairing and shift are found in turn, from a shift that is nearly right.
Where the two supercells have another origin, nothing is nearly right; then the shifts that put an atom on each of its lattice
sites in turn are tried.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from scipy.optimize import linear_sum_assignment

from defect_surrogate.errors import FolderError

MISFIT_LIMIT = 1.0
"""Largest median distance of atoms from their lattice sites, Å; above it a structure is not the bulk with a defect."""

_ITERATIONS = 10  # of pairing and shift; two or three are the rule
_TRIAL_ITERATIONS = 2  # the second has the shift of the first pairing, which is right if that is
_EQUAL_COST = 1e-3  # Å per atom; shifts that differ by a lattice translation cost the same but for rounded coordinates


@dataclass(frozen=True)
class Pairing:
    """Atoms of a structure and the bulk sites they belong to.

    Attributes
    ----------
    sites
        Bulk site of each atom, shape (n,); −1 for an atom left over.
    left_over
        Bulk site without an atom, the first if there are several; None if there is none.
    shift
        Drift of the whole crystal against the bulk, fractional, shape (3,).
    """

    sites: NDArray[np.intp]
    left_over: int | None
    shift: NDArray[np.float64]


def pair(bulk: Structure, structure: Structure, *, left_over: int | None = None) -> Pairing:
    """Pair atoms with bulk sites.

    Parameters
    ----------
    bulk
        Supercell with the lattice sites.
    structure
        n atoms, of the same origin but for a drift of less than half the distance between sites.
    left_over
        Bulk site that must stay empty; None to find one if there is any.

    Returns
    -------
    Pairing
        Of the least sum of distances.

    Raises
    ------
    FolderError
        If the median distance exceeds ``MISFIT_LIMIT``.
    """
    sites, distances, shift = _pair_from(np.zeros(3), bulk, structure, left_over=left_over, iterations=_ITERATIONS)
    paired = sites >= 0
    misfit = float(np.median(distances[paired])) if paired.any() else np.inf
    if misfit > MISFIT_LIMIT:
        raise FolderError(
            f"{formula(composition(structure))}: atoms are {misfit:.2f} Å (median) from the lattice sites of the bulk"
        )
    empty = sorted(set(range(len(bulk))) - set(sites[paired].tolist()))
    return Pairing(sites, empty[0] if empty else None, shift)


def origin_shift(bulk: Structure, structure: Structure) -> NDArray[np.float64]:
    """Shift of a structure against a bulk that may have another origin.

    Parameters
    ----------
    bulk
        Supercell with the lattice sites.
    structure
        Supercell with a point defect.

    Returns
    -------
    ndarray
        Fractional, shape (3,), each within ±1/2: of the shifts with the least sum of distances, which differ by translations
        of the lattice, the shortest.
    """
    elements, bulk_elements = np.array(symbols(structure)), np.array(symbols(bulk))
    counts = Counter(elements[np.isin(elements, bulk_elements)].tolist())
    if not counts:
        return np.zeros(3)
    rarest = min(counts, key=lambda element: (counts[element], element))
    atoms = np.flatnonzero(elements == rarest)
    anchors = structure.frac_coords[sorted({int(atoms[0]), int(atoms[-1])})]  # two: one may have left its site
    targets = bulk.frac_coords[bulk_elements == rarest]
    starts = [np.zeros(3), *(anchors[:, None] - targets[None]).reshape(-1, 3)]
    trials = []
    for start in starts:
        _, distances, shift = _pair_from(start, bulk, structure, left_over=None, iterations=_TRIAL_ITERATIONS)
        shift = _wrapped(shift)
        trials.append((distances.sum(), float(np.linalg.norm(bulk.lattice.get_cartesian_coords(shift))), shift))
    least = min(cost for cost, _, _ in trials) + _EQUAL_COST * len(structure)
    return min((trial for trial in trials if trial[0] <= least), key=lambda trial: trial[1])[2]


def symbols(structure: Structure) -> list[str]:
    """Return the symbols of the elements of a structure, in the order of its sites."""
    return [site.specie.symbol for site in structure]


def composition(structure: Structure) -> Counter[str]:
    """Count the atoms of each element, by symbol."""
    return Counter(symbols(structure))


def formula(counts: Counter[str]) -> str:
    """Write the formula of a supercell, e.g. ``Cd31 Te32``."""
    return " ".join(f"{symbol}{n}" for symbol, n in sorted(counts.items()))


def _pair_from(
    shift: NDArray[np.float64], bulk: Structure, structure: Structure, *, left_over: int | None, iterations: int
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Pair from a first shift; return the bulk site of each atom (−1 for none), its distance (Å) and the shift."""
    elements, bulk_elements = np.array(symbols(structure)), np.array(symbols(bulk))
    for _ in range(iterations):
        sites = np.full(len(structure), -1, dtype=np.intp)
        distances = np.zeros(len(structure))
        for element in sorted(set(elements)):
            atoms = np.flatnonzero(elements == element)
            targets = np.array([k for k in np.flatnonzero(bulk_elements == element) if k != left_over], dtype=np.intp)
            if not targets.size:
                continue
            cost = bulk.lattice.get_all_distances(structure.frac_coords[atoms] - shift, bulk.frac_coords[targets])
            rows, columns = linear_sum_assignment(cost)
            sites[atoms[rows]] = targets[columns]
            distances[atoms[rows]] = cost[rows, columns]
        paired = sites >= 0
        if not paired.any():
            break
        displacements = structure.frac_coords[paired] - bulk.frac_coords[sites[paired]]
        step = np.median(_wrapped(displacements - shift), axis=0)
        shift = shift + step
        if np.abs(step).max() < 1e-6:
            break
    return sites, distances, shift


def _wrapped(displacements: NDArray[np.float64]) -> NDArray[np.float64]:
    wrapped: NDArray[np.float64] = displacements - np.round(displacements)
    return wrapped
