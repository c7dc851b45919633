"""When a relaxation has ended, and why."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates.verdicts import lost_atom, measure, verdict


@pytest.fixture
def trimer():
    return Structure(
        Lattice.cubic(15), ["Te", "Te", "Cd"], [[1, 1, 1], [3.8, 1, 1], [1, 3.8, 1]], coords_are_cartesian=True
    )


def test_measures_are_of_the_atoms_of_each_structure_alone():
    forces = torch.tensor([[3.0, 0, 4, 0, 0, 1], [0, 2, 0, 0, 0, 0], [0, 0, np.inf, 0, 0, 0]]).double()
    away = torch.tensor([[0.0, 0, 0, 0, 1, 0], [0, 0, 2, 0, 0, 0], [0] * 6]).double()
    found = measure(torch.tensor([1.0, np.nan, 2.0]).double(), forces, away, torch.tensor([2, 1, 2]))
    np.testing.assert_allclose(found.mean_forces[:2], [3, 2])
    np.testing.assert_allclose(found.max_forces[:2], [5, 2])
    np.testing.assert_allclose(found.displacements, [1, 2, 0])
    assert found.finite.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("energy", "force", "steps", "reason", "said"),
    [
        (-1.0, 1e-6, 3, "converged", "mean force 1.00e-06 eV/Å after 3 steps"),
        (-1.0, 1e-3, 3, None, ""),
        (-1.0, 1e-3, 1500, "step limit", "above 1e-05"),
        (-1.0, 1e-6, 1500, "converged", "after 1500 steps"),
        (np.nan, 1e-6, 3, "diverged", "not finite"),
        (-1.0, np.nan, 3, "diverged", "not finite"),
        (-1.0, 2e3, 3, "diverged", "exploded: a force of 2e+03 eV/Å"),
        (-200.0, 1e-6, 3, "diverged", "exploded: energy -200 eV, 1 eV at the start"),
    ],
)
def test_the_first_reason_that_holds_is_given(energy, force, steps, reason, said):
    forces = torch.tensor([[force, 0, 0]]).double()
    measures = measure(torch.tensor([energy]).double(), forces, torch.zeros(1, 3), torch.tensor([1]))
    found, detail = verdict(measures, 0, start_energy=1.0, atoms=1, steps=steps, settings=SurrogateSettings())
    assert found == reason
    assert said in detail


def test_an_atom_is_lost_when_it_has_left_all_others(trimer):
    positions = trimer.cart_coords.copy()
    assert lost_atom(trimer, positions) is None
    positions[2] += [0, 1.5, 0]
    assert lost_atom(trimer, positions) is None
    positions[2] += [0, 3.0, 0]
    assert lost_atom(trimer, positions) == "lost atom 2 (Cd): no neighbour left"
    positions[2] += [0, 15.0 - 4.5, 0]  # beside its periodic image
    assert lost_atom(trimer, positions) is None


def test_an_atom_that_was_alone_is_not_lost():
    apart = Structure(Lattice.cubic(15), ["Te", "Cd"], [[1, 1, 1], [8, 8, 8]], coords_are_cartesian=True)
    assert lost_atom(apart, np.array([[1.0, 1, 1], [10, 8, 8]])) is None
