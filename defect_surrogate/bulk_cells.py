"""Strained and rattled cells of a host without a defect, which teach a force field what a crystal resists.

A bulk relaxation visits little but its minimum; cells drawn over a range of strains and rattles cover what the crystal resists.
They stand beside the frames of bulk relaxations, which Mosquera-Lois et al. train on (doi:10.1038/s41524-024-01303-9).
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from defect_surrogate.hosts import Host
from defect_surrogate.settings import BulkSettings

CLOSEST = 0.75
"""Shortest distance allowed, as a share of the shortest in the host: closer atoms do not meet in a relaxation (our choice)."""


@dataclass(frozen=True)
class BulkCell:
    """One configuration of a host.

    Attributes
    ----------
    label
        E.g. ``Strained_03``.
    structure
        Strained and rattled supercell.
    seed
        Seed of its strain and rattle.
    """

    label: str
    structure: Structure
    seed: int


def bulk_cells(host: Host, settings: BulkSettings) -> tuple[BulkCell, ...]:
    """Strain and rattle the supercell of a host.

    Parameters
    ----------
    host
        Host with its supercell.
    settings
        How many, largest strain and rattle, seed.

    Returns
    -------
    tuple of BulkCell
        Standard deviations of the rattle rise evenly from zero to the largest. Displacements that bring two atoms closer than
        ``CLOSEST`` allows are shrunk together until they do not.
    """
    shortest = CLOSEST * _shortest_distance(host.supercell)
    rattles = np.linspace(0.0, settings.largest_rattle, max(settings.configurations, 2))
    cells = []
    for number in range(settings.configurations):
        label = f"Strained_{number:02d}"
        seed = int.from_bytes(hashlib.sha256(f"{settings.seed}/{host.name}/{label}".encode()).digest()[:4], "big")
        random = np.random.default_rng(seed)
        strain = random.uniform(-settings.largest_strain, settings.largest_strain, size=(3, 3))
        displacements = random.normal(scale=rattles[number], size=(len(host.supercell), 3))
        structure = _displaced(host.supercell, (strain + strain.T) / 2, displacements)
        while _shortest_distance(structure) < shortest and np.abs(displacements).max() > 1e-3:
            displacements *= 0.8
            structure = _displaced(host.supercell, (strain + strain.T) / 2, displacements)
        cells.append(BulkCell(label, structure, seed))
    return tuple(cells)


def _displaced(structure: Structure, strain: np.ndarray, displacements: np.ndarray) -> Structure:
    """Strain a cell, its atoms with it, then displace them (n, 3), Å."""
    lattice = structure.lattice.matrix @ (np.eye(3) + strain)
    positions = structure.frac_coords @ lattice + displacements
    return Structure(lattice, structure.species, positions, coords_are_cartesian=True, to_unit_cell=True)


def _shortest_distance(structure: Structure) -> float:
    """Return the shortest distance between two atoms, or of an atom to its own image, Å."""
    distances = structure.distance_matrix + np.diag(np.full(len(structure), np.inf))
    return float(min(distances.min(), *structure.lattice.abc))
