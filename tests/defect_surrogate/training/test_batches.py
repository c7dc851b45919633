"""Every frame in one batch of an epoch, and where relative energies count, with frames of its own defect alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.training.batches import comparable_groups, epoch_batches
from defect_surrogate.training.settings import OptimisationSettings

GROUPS = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@given(groups=GROUPS, size=st.integers(1, 5), seed=st.integers(0, 99), epoch=st.none() | st.integers(1, 9))
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_every_frame_is_in_one_batch(groups, size, seed, epoch, weight):
    settings = OptimisationSettings(batch_size=size, seed=seed, relative_energy_weight=weight)
    batches = epoch_batches(groups, settings=settings, epoch=epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(groups)))
    assert all(1 <= len(batch) <= size for batch in batches)
    if weight:
        assert all(len({groups[i] for i in batch}) == 1 for batch in batches)
        assert len(batches) == sum(-(-groups.count(group) // size) for group in set(groups))
    again = epoch_batches(groups, settings=settings, epoch=epoch)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_epochs_differ_in_their_batches_and_without_one_the_order_is_kept():
    settings = OptimisationSettings(batch_size=2, relative_energy_weight=1.0)
    groups = [0, 1] * 10
    first, second = (epoch_batches(groups, settings=settings, epoch=epoch) for epoch in (1, 2))
    assert {tuple(batch) for batch in first} != {tuple(batch) for batch in second}
    assert [tuple(batch) for batch in epoch_batches([0, 1, 0, 1, 0], settings=settings, epoch=None)] == [
        (0, 2),
        (4,),
        (1, 3),
    ]


def test_groups_are_of_one_defect_and_the_same_atoms(frame):
    names = ("NaCl/v_Na_0/Dimer/0", "NaCl/bulk/Strained_00/0", "NaCl/v_Na_0/Rattled/3", "KCl/v_K_0/Dimer/0")
    assert comparable_groups([frame(name) for name in names]) == [0, 1, 0, 2]
