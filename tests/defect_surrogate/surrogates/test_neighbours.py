"""Neighbour lists against a search from nothing, on structures that move."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from defect_surrogate.surrogates.batch import Batch
from defect_surrogate.surrogates.neighbours import NeighbourLists, found_on_cpu, found_on_device

CUTOFF = 3.0
CPU = torch.device("cpu")

cells = arrays(float, (3, 3), elements=st.floats(-1, 1)).map(lambda noise: np.diag([4.0, 5.0, 6.0]) + noise)
positions = st.integers(1, 6).flatmap(lambda n: arrays(float, (n, 3), elements=st.floats(-9, 9)))


def as_batch(structures, names=None):
    sizes = [len(positions) for positions, _ in structures]
    return Batch(
        names=tuple(range(len(structures))) if names is None else names,
        numbers=torch.ones(sum(sizes), dtype=torch.long),
        positions=torch.tensor(np.concatenate([positions for positions, _ in structures])),
        owners=torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)),
        cells=torch.tensor(np.array([cell for _, cell in structures])),
    )


def rounded(centres, neighbours, vectors):
    return sorted((int(i), int(j), *np.round(v, 6) + 0.0) for i, j, v in zip(centres, neighbours, vectors, strict=True))


def expected(structures):
    found, offset = [], 0
    for points, cell in structures:
        i, j, vectors = neighbor_list("ijD", Atoms(f"H{len(points)}", positions=points, cell=cell, pbc=True), CUTOFF)
        found += rounded(i + offset, j + offset, vectors)
        offset += len(points)
    return found


def listed(lists, batch):
    edges = lists.edges(batch)
    assert (edges.centres[1:] >= edges.centres[:-1]).all()
    return rounded(edges.centres, edges.neighbours, edges.vectors.numpy())


def found_by(find, structures):
    cells = torch.tensor(np.array([cell for _, cell in structures]))
    return find([torch.tensor(points) for points, _ in structures], cells, CUTOFF)


@pytest.mark.parametrize("find", [found_on_cpu, found_on_device])
@settings(max_examples=60, deadline=None)
@given(structures=st.lists(st.tuples(positions, cells), min_size=1, max_size=3))
def test_pairs_are_those_that_ase_finds(find, structures):
    for (points, cell), (centres, neighbours, shifts) in zip(structures, found_by(find, structures), strict=True):
        vectors = points[neighbours] + shifts.numpy() - points[centres]
        assert (centres[1:] >= centres[:-1]).all()
        at_the_end = np.abs(np.linalg.norm(vectors, axis=1) - CUTOFF) < 1e-6
        if not at_the_end.any():
            assert rounded(centres, neighbours, vectors) == expected([(points, cell)])


@pytest.mark.parametrize("most", [1, 700, 3000, 20_000])
def test_distances_in_pieces_are_the_same(monkeypatch, most):
    structures = random_structures(np.random.default_rng(0), 5)
    whole = [[part.tolist() for part in pairs] for pairs in found_by(found_on_device, structures)]
    monkeypatch.setattr("defect_surrogate.surrogates.neighbours.MOST_DISTANCES", most)
    assert [[part.tolist() for part in pairs] for pairs in found_by(found_on_device, structures)] == whole


def random_structures(random, count=3):
    return [(random.uniform(-9, 9, (random.integers(3, 9), 3)), np.diag(random.uniform(4, 7, 3))) for _ in range(count)]


@pytest.mark.parametrize("step", [0.02, 0.3, 2.0])
def test_no_pair_is_missed_while_structures_move(step):
    random = np.random.default_rng(1)
    structures = random_structures(random)
    lists = NeighbourLists(CUTOFF, CPU)
    for _ in range(30):
        assert listed(lists, as_batch(structures)) == expected(structures)
        structures = [(points + random.normal(0, step, points.shape), cell) for points, cell in structures]


def test_neighbours_are_searched_again_only_for_what_moved(monkeypatch):
    random = np.random.default_rng(2)
    structures = random_structures(random)
    lists = NeighbourLists(CUTOFF, CPU)
    searched, find = [], lists._find
    monkeypatch.setattr(lists, "_find", lambda parts, *more: (searched.extend(map(len, parts)), find(parts, *more))[1])
    lists.edges(as_batch(structures))
    assert searched == [len(points) for points, _ in structures]
    near = [(points + 0.1, cell) for points, cell in structures]
    lists.edges(as_batch(near))
    assert len(searched) == 3
    far = [near[0], (near[1][0] + 0.5, near[1][1]), near[2]]
    assert listed(lists, as_batch(far)) == expected(far)
    assert searched[3:] == [len(far[1][0])]


def test_structures_leave_and_enter():
    random = np.random.default_rng(3)
    a, b, c, d = random_structures(random, 4)
    lists = NeighbourLists(CUTOFF, CPU)
    assert listed(lists, as_batch([a, b, c], (0, 1, 2))) == expected([a, b, c])
    moved = (c[0] + 0.7, c[1])
    assert listed(lists, as_batch([b, moved, d], (1, 2, 3))) == expected([b, moved, d])
    assert listed(lists, as_batch([d], (3,))) == expected([d])
    assert listed(lists, as_batch([a], (0,))) == expected([a])


def test_no_neighbour_at_all():
    alone = (np.zeros((1, 3)), np.eye(3) * 9)
    assert listed(NeighbourLists(CUTOFF, CPU), as_batch([alone])) == []
    for find in (found_on_cpu, found_on_device):
        ((centres, neighbours, shifts),) = found_by(find, [alone])
        assert (len(centres), len(neighbours), shifts.shape) == (0, 0, (0, 3))
        assert find([], torch.zeros(0, 3, 3).double(), CUTOFF) == []
