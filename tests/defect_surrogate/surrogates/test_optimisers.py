"""Steps for many rows at once against ASE's FIRE, a two-loop L-BFGS, and known minima."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.optimize import FIRE

from defect_surrogate.surrogates.optimisers import (
    FAR,
    FIRST_CURVATURE,
    LONGEST_OF_ATOM,
    LONGEST_STEP,
    MEMORY,
    NEAR,
    Optimiser,
)

CPU = torch.device("cpu")


def copper(seed, repeat):
    atoms = bulk("Cu", cubic=True).repeat(repeat)
    atoms.rattle(0.15, seed=seed)
    atoms.calc = EMT()
    return atoms


def test_fire_takes_ases_steps_for_structures_of_different_sizes_side_by_side():
    together = [copper(1, 1), copper(2, (2, 1, 1)), copper(3, 2)]
    alone = [atoms.copy() for atoms in together]
    for atoms in alone:
        atoms.calc = EMT()
    moves = [FIRE(atoms, logfile=None) for atoms in alone]
    width = max(3 * len(atoms) for atoms in together)
    optimiser = Optimiser(by_curvature=False)
    state = optimiser.begin(3, width, CPU)
    for _ in range(60):
        positions, forces = torch.zeros(2, 3, width, dtype=torch.float64)
        for row, atoms in enumerate(together):
            positions[row, : 3 * len(atoms)] = torch.tensor(atoms.positions.ravel())
            forces[row, : 3 * len(atoms)] = torch.tensor(atoms.get_forces().ravel())
        positions += optimiser.step(state, positions, forces)
        for row, (atoms, other, one) in enumerate(zip(together, alone, moves, strict=True)):
            atoms.positions = positions[row, : 3 * len(atoms)].view(-1, 3).numpy()
            one.step()
            np.testing.assert_allclose(atoms.positions, other.positions, atol=1e-9)


def valley(width, seed):
    """A quadratic energy with curvatures from 0.5 to 30 eV/Å²."""
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(random.normal(size=(width, width)))[0]
    return axes @ np.diag(np.geomspace(0.5, 30, width)) @ axes.T


def two_loops(steps, changes, force):
    """L-BFGS as in textbooks (Nocedal and Wright, algorithm 7.4)."""
    direction, factors = force.copy(), []
    for s, y in zip(reversed(steps), reversed(changes), strict=True):
        factors.append((s @ direction) / (s @ y))
        direction -= factors[-1] * y
    direction *= (steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1]) if steps else 1 / FIRST_CURVATURE
    for s, y, factor in zip(steps, changes, reversed(factors), strict=True):
        direction += s * (factor - (y @ direction) / (s @ y))
    return direction


def test_steps_by_curvature_are_those_of_two_loops_also_when_the_memory_is_full():
    width, scale = 48, 1e-4
    hessians = [valley(width, 0), valley(width, 1)]
    optimiser = Optimiser(by_curvature=True)
    state = optimiser.begin(2, width, CPU)
    x = scale * np.random.default_rng(2).normal(size=(2, width))
    before, steps, changes = None, ([], []), ([], [])
    for _ in range(MEMORY + 8):
        force = -np.einsum("bij,bj->bi", hessians, x)
        if before is not None:
            for row in range(2):
                steps[row].append(x[row] - before[0][row])
                changes[row].append(before[1][row] - force[row])
        moved = optimiser.step(state, torch.tensor(x), torch.tensor(force)).numpy()
        for row in range(2):
            expected = two_loops(steps[row][-MEMORY:], changes[row][-MEMORY:], force[row])
            np.testing.assert_allclose(moved[row], expected, atol=1e-7 * scale)
        before, x = (x, force), x + moved
    assert np.abs(x).max() < 1e-3 * scale


def test_every_row_has_its_own_way_and_no_atom_goes_farther_than_allowed():
    optimiser = Optimiser(by_curvature=True)
    state = optimiser.begin(3, 6, CPU)
    forces = torch.tensor([[NEAR / 2, 0, 0, 0, 0, 0], [2 * NEAR, 0, 0, 0, 0, 0], [50.0, 0, 0, 0, 40, 0]]).double()
    moved = optimiser.step(state, torch.zeros(3, 6).double(), forces)
    assert state["near"].tolist() == [True, False, False]
    np.testing.assert_allclose(moved[0, 0], NEAR / 2 / FIRST_CURVATURE)
    assert moved[2].norm() == pytest.approx(LONGEST_STEP)
    flat = torch.tensor([[NEAR / 2, 0, 0, 0, 0, 0]] * 3).double()
    for i in range(3):
        moved = optimiser.step(state, torch.full((3, 6), 0.1 * i).double(), flat * 0.999**i)
        assert (moved.view(3, 2, 3).norm(dim=2) <= LONGEST_OF_ATOM + 1e-12).all()


def test_a_row_that_loses_its_way_begins_anew_with_fire():
    optimiser = Optimiser(by_curvature=True)
    state = optimiser.begin(2, 3, CPU)
    x = torch.zeros(2, 3).double()
    for step in range(3):
        x = x + optimiser.step(state, x, torch.full((2, 3), NEAR / 3 / (step + 1)).double())
    assert (state["steps"][:, -1] != 0).any(1).all()
    forces = torch.tensor([[2 * FAR, 0, 0], [NEAR / 9, 0, 0]]).double()
    moved = optimiser.step(state, x, forces)
    assert state["near"].tolist() == [False, True]
    assert not state["steps"][0].any()
    assert state["steps"][1].any()
    np.testing.assert_allclose(moved[0], [0.1 * 0.1 * 2 * FAR, 0, 0])  # FIRE's first step: dt² f


def test_a_direction_that_curves_downwards_is_not_learnt():
    optimiser = Optimiser(by_curvature=True)
    state = optimiser.begin(1, 3, CPU)
    small = NEAR / 10
    optimiser.step(state, torch.zeros(1, 3).double(), torch.tensor([[small, 0, 0]]).double())
    moved = optimiser.step(state, torch.tensor([[0.01, 0, 0]]).double(), torch.tensor([[2 * small, 0, 0]]).double())
    assert not state["steps"].any()
    np.testing.assert_allclose(moved, [[2 * small / FIRST_CURVATURE, 0, 0]])
