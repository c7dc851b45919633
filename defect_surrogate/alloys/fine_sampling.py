"""The finer sampling set of an alloy: neighbours of the vacancy distorted together in every combination.

In an alloy the neighbours of a vacancy differ, and which of them bind decides the ground state, so that the closest two, which
ShakeNBreak distorts where two electrons are missing, are not enough. Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9)
distort each pair of neighbours by −60 … −20 %: of a tetrahedral site six pairs in five steps and the unperturbed structure, 31
starts. A neighbour that several images of are neighbours, in a small cell, counts once. Starts are near duplicates when
they are so before the rattle, which differs for each; pairs that symmetry makes alike, as in a pure crystal, are kept.
"""

import logging
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from defect_surrogate.alloys.settings import NeighbourSettings
from defect_surrogate.distortions import UNPERTURBED, SamplingSet, SamplingStructure, distort_sites
from defect_surrogate.hosts import Host
from defect_surrogate.settings import DistortionSettings, Section
from defect_surrogate.vacancies import Vacancy

logger = logging.getLogger(__name__)

PAIR = 2
"""Two atoms make a bond."""


class FineSampling(Section):
    """What the finer set depends on.

    Attributes
    ----------
    distortions
        Rattle and seed.
    neighbours
        Which neighbours are distorted together, and by how much.
    """

    distortions: DistortionSettings
    neighbours: NeighbourSettings


def fine_sampling_set(vacancy: Vacancy, host: Host, settings: FineSampling) -> SamplingSet:
    """Make the finer sampling set of a vacancy.

    Parameters
    ----------
    vacancy
        The vacancy.
    host
        Its host.
    settings
        Combinations, distortions, rattle and seed.

    Returns
    -------
    SamplingSet
        ``Unperturbed`` first, then by number of neighbours, combination and distortion, e.g.
        ``Bond_Distortion_-60.0%_Se40-Te51`` with the indices of the sites in the ideal structure.
    """
    starts = [SamplingStructure(vacancy, UNPERTURBED, vacancy.ideal_structure, None)]
    moved = [np.zeros((len(vacancy.ideal_structure), 3))]
    dropped, duplicates = [], []
    for sites in _combinations(vacancy, settings.neighbours):
        for distortion in settings.neighbours.distortions:
            label = f"Bond_Distortion_{distortion:.1%}_{_named(vacancy, sites)}"
            displacements = _displacements(vacancy, sites, distortion)
            if any(_largest(displacements - one) <= settings.neighbours.duplicate_tolerance for one in moved):
                duplicates.append(label)
                continue
            start = distort_sites(
                vacancy, host, sites, distortion=distortion, label=label, settings=settings.distortions
            )
            if start is None:
                dropped.append(label)
                continue
            starts.append(start)
            moved.append(displacements)
    if dropped:
        logger.warning("%s/%s: dropped, atoms closer than 1 Å: %s", host.name, vacancy.label, ", ".join(dropped))
    return SamplingSet(tuple(starts), tuple(dropped), tuple(duplicates))


def distorted_together(missing_electrons: int | None) -> tuple[int, ...]:
    """Say how many neighbours are distorted together when the settings do not.

    Parameters
    ----------
    missing_electrons
        Of the vacancy; None when not known.

    Returns
    -------
    tuple of int
        Two, since a new bond joins two atoms; and what ShakeNBreak distorts (doi:10.1038/s41524-023-00973-1): as many as
        electrons are missing, or are too many, and 8 − n of more than four.
    """
    count = abs(missing_electrons or 0)
    by_valence = 8 - count if count > 4 else count
    return tuple(sorted({PAIR} | ({by_valence} if by_valence > 0 else set())))


def without_duplicates(
    starts: Sequence[SamplingStructure], *, tolerance: float, among: Sequence[SamplingStructure] = ()
) -> tuple[tuple[SamplingStructure, ...], tuple[str, ...]]:
    """Leave out starts that are nearly the same as an earlier one.

    Parameters
    ----------
    starts
        Of one vacancy, n sites in one order.
    tolerance
        Distance in Å that some atom has to exceed, nearest images.
    among
        Starts that are there already.

    Returns
    -------
    tuple of SamplingStructure
        Those kept, in their order.
    tuple of str
        Labels of those left out.
    """
    kept: list[SamplingStructure] = []
    duplicates = []
    for start in starts:
        near = any(_largest_displacement(start.structure, one.structure) <= tolerance for one in (*among, *kept))
        if near:
            duplicates.append(start.label)
        else:
            kept.append(start)
    return tuple(kept), tuple(duplicates)


def _combinations(vacancy: Vacancy, settings: NeighbourSettings) -> list[tuple[int, ...]]:
    sites = tuple(dict.fromkeys(vacancy.neighbour_sites))
    counts = settings.together or distorted_together(vacancy.missing_electrons)
    return [chosen for count in sorted(set(counts)) for chosen in combinations(sites, min(count, len(sites)))]


def _named(vacancy: Vacancy, sites: Sequence[int]) -> str:
    return "-".join(f"{vacancy.ideal_structure[index].specie.symbol}{index}" for index in sites)


def _displacements(vacancy: Vacancy, sites: Sequence[int], distortion: float) -> NDArray[np.float64]:
    """Return how far each atom is moved before the rest of the cell is rattled, Cartesian, (n, 3), Å."""
    ideal = vacancy.ideal_structure
    apart = ideal.frac_coords[list(sites)] - np.array(vacancy.fractional_position)
    moved = np.zeros((len(ideal), 3))
    moved[list(sites)] = distortion * (apart - np.round(apart)) @ ideal.lattice.matrix
    return moved


def _largest_displacement(one: Structure, other: Structure) -> float:
    """Return the largest distance between the same site in two structures of one lattice, nearest images, Å."""
    difference = one.frac_coords - other.frac_coords
    return _largest((difference - np.round(difference)) @ one.lattice.matrix)


def _largest(vectors: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(vectors, axis=1).max())
