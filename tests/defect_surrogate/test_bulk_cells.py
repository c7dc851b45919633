"""Strained and rattled cells: how much, from which seed, and how close atoms may come."""

import dataclasses

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from pymatgen.io.ase import AseAtomsAdaptor

from defect_surrogate.bulk_cells import CLOSEST, bulk_cells
from defect_surrogate.settings import BulkSettings


@pytest.fixture(scope="module")
def host(cluster_host, zincblende_cdte):
    """54 atoms of CdTe, their bonds 2.81 Å long."""
    supercell = (zincblende_cdte * (3, 3, 3)).get_sorted_structure()
    return dataclasses.replace(cluster_host, name="CdTe", unit_cell=zincblende_cdte, supercell=supercell)


def strain_of(cell, host):
    """Strain that takes the lattice vectors of the host to those of a cell."""
    return np.linalg.solve(host.supercell.lattice.matrix, cell.structure.lattice.matrix) - np.eye(3)


def displacements_of(cell, host):
    """Displacements from the strained sites, (n, 3), Å."""
    moved = cell.structure.frac_coords - host.supercell.frac_coords
    return (moved - np.round(moved)) @ cell.structure.lattice.matrix


def shortest_distance(structure):
    return neighbor_list("d", AseAtomsAdaptor.get_atoms(structure, msonable=False), cutoff=3.5).min()


def test_strains_are_symmetric_within_bounds_and_of_every_component(host):
    cells = bulk_cells(host, BulkSettings(configurations=40, largest_strain=0.03))
    strains = np.array([strain_of(cell, host) for cell in cells])
    np.testing.assert_allclose(strains, strains.transpose(0, 2, 1), atol=1e-12)
    assert np.abs(strains).max() <= 0.03
    assert (np.ptp(strains, axis=0) > 0.03).all()


def test_rattle_rises_evenly_from_none(host):
    cells = bulk_cells(host, BulkSettings(configurations=5, largest_rattle=0.1))
    spread = [displacements_of(cell, host).std() for cell in cells]
    np.testing.assert_allclose(spread, [0.0, 0.025, 0.05, 0.075, 0.1], rtol=0.15, atol=1e-10)
    assert [cell.label for cell in cells] == [f"Strained_0{number}" for number in range(5)]


def test_atoms_of_violently_rattled_cells_do_not_meet(host):
    cells = bulk_cells(host, BulkSettings(configurations=4, largest_rattle=1.0))
    least = CLOSEST * shortest_distance(host.supercell)
    for cell in cells:
        assert shortest_distance(cell.structure) >= least
        assert cell.structure.species == host.supercell.species
    assert displacements_of(cells[-1], host).std() > 0.05


def test_cells_depend_on_seed_host_and_label_alone(host):
    settings = BulkSettings(configurations=3)
    one, same = (bulk_cells(host, settings) for _ in range(2))
    assert [(cell.seed, cell.structure) for cell in one] == [(cell.seed, cell.structure) for cell in same]
    others = bulk_cells(host, BulkSettings(configurations=3, seed=1))
    others += bulk_cells(dataclasses.replace(host, name="CdTe_2"), settings)
    assert len({cell.seed for cell in one + others}) == 9
    more = bulk_cells(host, BulkSettings(configurations=7))
    assert one[0] == more[0]
    np.testing.assert_array_equal(strain_of(one[2], host), strain_of(more[2], host))


@pytest.mark.parametrize("count", [0, 1])
def test_few_cells_are_cells_without_a_rattle(host, count):
    cells = bulk_cells(host, BulkSettings(configurations=count))
    assert len(cells) == count
    assert all(np.abs(displacements_of(cell, host)).max() < 1e-10 for cell in cells)
