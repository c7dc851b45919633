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
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

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
    lattice = _Lattice(alloy.cells[0], host)
    starts = []
    for source in sources:
        ways = lattice.ways(source.vacancy.site_index, target.site_index)
        for rank, minimum in enumerate(source.minima if ways else (), start=1):
            displacements = _displacements(minimum, source.vacancy, host.host.supercell)
            structure = _mapped(displacements, source.vacancy, target, host.host.supercell, ways, reach=reach)
            if closest_distance(structure) >= CLOSEST:
                label = f"{TRANSFERRED}{source.vacancy.name.split('_', 2)[2]}_{rank}"
                starts.append(SamplingStructure(target, label, structure, None))
    return tuple(starts)


@dataclass(frozen=True)
class _Way:
    """An operation of the lattice that takes one site to another."""

    rotation: NDArray[np.float64]  # of Cartesian vectors, (3, 3)
    image: NDArray[np.int64]  # site of the supercell that each site is taken to, (n,)


class _Lattice:
    """The lattice of the end members, species of the mixing sublattice aside, with the sites of an alloy's supercell."""

    def __init__(self, cell: Structure, host: AlloyHost) -> None:
        self._cell = Structure(
            cell.lattice, [cell[i].specie for i in host.end_member_sites], cell.frac_coords[list(host.end_member_sites)]
        )
        self._operations = SpacegroupAnalyzer(self._cell, symprec=SYMMETRY_TOLERANCE).get_space_group_operations()

    def ways(self, source: int, target: int) -> list[_Way]:
        """Find the operations that take one site of the supercell to another, by their indices."""
        coordinates, lattice = self._cell.frac_coords, self._cell.lattice
        found = []
        for operation in self._operations:
            taken = operation.operate_multi(coordinates)
            if lattice.get_all_distances(taken[source], coordinates[target])[0, 0] > SYMMETRY_TOLERANCE:
                continue
            image = lattice.get_all_distances(taken, coordinates).argmin(axis=1)
            rotation = lattice.matrix.T @ operation.rotation_matrix @ np.linalg.inv(lattice.matrix.T)
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
    source: Vacancy,
    target: Vacancy,
    supercell: Structure,
    ways: Sequence[_Way],
    *,
    reach: float,
) -> Structure:
    centre = supercell.frac_coords[source.site_index]
    near = supercell.lattice.get_all_distances(centre, supercell.frac_coords)[0] <= reach
    lengths = np.linalg.norm(displacements, axis=1) * near
    symbols = np.array([site.specie.symbol for site in supercell])
    way = max(ways, key=lambda one: float(lengths[symbols == symbols[one.image]].sum()))
    moved = np.zeros_like(displacements)
    moved[way.image[near]] = displacements[near] @ way.rotation.T
    coordinates = supercell.cart_coords + moved
    kept = np.arange(len(supercell)) != target.site_index
    return Structure(supercell.lattice, symbols[kept].tolist(), coordinates[kept], coords_are_cartesian=True)
