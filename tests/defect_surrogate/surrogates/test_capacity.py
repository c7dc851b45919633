"""How many structures fly together, before and after memory ran out."""

import torch

from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates.capacity import ON_CPU, RECOVERY, Capacity, structures_at_once

CPU = torch.device("cpu")


def test_a_single_structure_may_always_fly():
    capacity = Capacity(1, CPU)
    assert capacity.admits(1, 10**9)
    assert not capacity.admits(2, 2)


def test_a_batch_shrinks_and_recovers():
    capacity = Capacity(8, CPU)
    assert capacity.admits(8, 8)
    capacity.halve(8)
    assert not capacity.admits(5, 5)
    assert capacity.admits(4, 4)
    for _ in range(RECOVERY):
        assert not capacity.admits(5, 5)
        capacity.succeeded(None)
    assert capacity.admits(8, 8)
    capacity.halve(1)
    assert capacity.admits(1, 1)


def test_after_it_ran_out_it_grows_slowly_from_wherever_it_was():
    capacity = Capacity(64, CPU)
    capacity.halve(32)
    for _ in range(RECOVERY):
        assert capacity.admits(16, 16)
        assert not capacity.admits(17, 17)
        capacity.succeeded(None)
    assert capacity.admits(32, 32)
    assert not capacity.admits(33, 33)
    capacity.halve(2)
    for _ in range(RECOVERY):
        assert not capacity.admits(2, 2)
        capacity.succeeded(None)
    assert capacity.admits(2, 2)
    assert not capacity.admits(3, 3)


def test_the_setting_wins():
    assert structures_at_once(SurrogateSettings(batch_size=17)) == 17
    if not torch.cuda.is_available():
        assert structures_at_once(SurrogateSettings()) == ON_CPU
