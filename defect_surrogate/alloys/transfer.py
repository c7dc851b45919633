"""Minima of one environment offered as starts to another of the same supercell: species exchanged, positions mapped.

Two sites of the mixing alloy's lattice are related by symmetry operations of that lattice, species aside. Each operation that
takes the one site to the other takes the displacements of the atoms around the relaxed vacancy along; the species stay those of
the new place. Of the operations (24 for a tetrahedral site) the one is chosen that puts the displaced atoms on atoms of their
own species as far as it can: a Te–Te dimer stays one where there are two Te, and becomes Se–Te where there are not. Our
addition to the paper's search (doi:10.1038/s41524-024-01303-9).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.util.coord import pbc_shortest_vectors

from defect_surrogate.alloys.end_members import SYMMETRY_TOLERANCE, Alloy
from defect_surrogate.alloys.supercells import AlloyHost
from defect_surrogate.distortions import CLOSEST, TRANSFERRED, SamplingStructure, closest_distance
from defect_surrogate.ideal_sites import rigid_drift
from defect_surrogate.vacancies import Vacancy


@dataclass(frozen=True)
class Source:
    """A vacancy and its minima.

    Attributes
    ----------
    vacancy
        The vacancy.
    minima
        Relaxed structures of its minima at one level, ascending in energy.
    """

    vacancy: Vacancy
    minima: tuple[Structure, ...]


def transferred_starts(
    target: Vacancy, sources: Sequence[Source], alloy: Alloy, host: AlloyHost, *, reach: float
) -> tuple[SamplingStructure, ...]:
    """Map the minima of other vacancies of a supercell onto one.

    Parameters
    ----------
    target
        The vacancy that gets starts.
    sources
        Vacancies of the same element in the same supercell, the target left out.
    alloy
        The end members, whose lattice has the symmetry.
    host
        The supercell.
    reach
        Distance from the vacant site in Å up to which atoms are moved.

    Returns
    -------
    tuple of SamplingStructure
        Labelled e.g. ``Transferred_3Te1Se_1`` after the environment and the rank of the minimum. One with two atoms closer than
        1 Å is left out. None come from a vacancy on another kind of site of the lattice.
    """
    supercell = host.host.supercell
    starts = []
    for source in sources:
        around = _around(supercell, source.vacancy.site_index, reach)
        ways = _ways(alloy, host, source.vacancy.site_index, target.site_index, around)
        for rank, minimum in enumerate(source.minima if ways else (), start=1):
            structure = _mapped(_displacements(minimum, source.vacancy, supercell), target, supercell, ways, around)
            if closest_distance(structure) >= CLOSEST:
                label = f"{TRANSFERRED}{source.vacancy.name.split('_', 2)[2]}_{rank}"
                starts.append(SamplingStructure(target, label, structure, None))
    return tuple(starts)


@dataclass(frozen=True)
class _Way:
    """An operation of the lattice that takes one site, and those around it, to another."""

    rotation: NDArray[np.float64]  # of Cartesian vectors, (3, 3)
    image: NDArray[np.int64]  # site of the supercell that each of those around is taken to, (k,)


def _around(supercell: Structure, site: int, reach: float) -> NDArray[np.int64]:
    """Return the sites of a supercell within reach of one, this one left out."""
    distances = supercell.lattice.get_all_distances(supercell.frac_coords[site], supercell.frac_coords)[0]
    return np.flatnonzero((distances <= reach) & (np.arange(len(supercell)) != site))


def _ways(alloy: Alloy, host: AlloyHost, source: int, target: int, around: NDArray[np.int64]) -> list[_Way]:
    """Find the operations that take one site of the supercell, and those around it, to another, by their indices."""
    order = list(host.end_member_sites)
    if not len(around) or alloy.site_classes[order[source]] != alloy.site_classes[order[target]]:
        return []
    lattice, coordinates = alloy.cells[0].lattice, alloy.cells[0].frac_coords[order]
    species = np.array([alloy.cells[0][site].specie.symbol for site in order])
    vectors = pbc_shortest_vectors(lattice, coordinates[source], coordinates[around])[0]
    found = []
    for rotation in alloy.rotations:
        landed = coordinates[target] + vectors @ rotation.T @ lattice.inv_matrix
        distances = lattice.get_all_distances(landed, coordinates)
        image = distances.argmin(axis=1)
        lands = np.all(distances.min(axis=1) <= SYMMETRY_TOLERANCE) and np.all(species[image] == species[around])
        if lands and len(set(image)) == len(around):  # a small supercell can take two to one
            found.append(_Way(rotation, image))
    return found


def _displacements(relaxed: Structure, vacancy: Vacancy, supercell: Structure) -> NDArray[np.float64]:
    """Return how far each atom moved, Cartesian, (n, 3), Å, without a drift of the whole; 0 for the vacant site."""
    ideal = vacancy.ideal_structure
    moved = relaxed.frac_coords - ideal.frac_coords - rigid_drift(relaxed, ideal=ideal)
    cartesian = (moved - np.round(moved)) @ ideal.lattice.matrix
    return np.insert(cartesian, vacancy.site_index, 0.0, axis=0).reshape(len(supercell), 3)


def _mapped(
    displacements: NDArray[np.float64],
    target: Vacancy,
    supercell: Structure,
    ways: Sequence[_Way],
    around: NDArray[np.int64],
) -> Structure:
    moved_by = displacements[around]
    lengths = np.linalg.norm(moved_by, axis=1)
    symbols = np.array([site.specie.symbol for site in supercell])
    kept_species = [float(lengths[symbols[around] == symbols[way.image]].sum()) for way in ways]
    way = ways[int(np.argmax(np.round(kept_species, 3)))]  # the first of equals, whatever the last digits
    moved = np.zeros_like(displacements)
    moved[way.image] = moved_by @ way.rotation.T
    coordinates = supercell.cart_coords + moved
    kept = np.arange(len(supercell)) != target.site_index
    return Structure(supercell.lattice, symbols[kept].tolist(), coordinates[kept], coords_are_cartesian=True)
