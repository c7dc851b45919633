"""How many structures fly together, before and after memory ran out."""

import pytest
import torch

from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates.capacity import ON_CPU, RECOVERY, Capacity, is_out_of_memory, structures_at_once

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


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (RuntimeError("shapes do not match"), False),
        (ValueError("memory"), False),
    ],
)
def test_which_errors_are_of_memory(error, short):
    assert is_out_of_memory(error) is short


def test_torch_says_so_on_this_machine():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)


def test_the_setting_wins():
    assert structures_at_once(SurrogateSettings(batch_size=17)) == 17
    if not torch.cuda.is_available():
        assert structures_at_once(SurrogateSettings()) == ON_CPU
