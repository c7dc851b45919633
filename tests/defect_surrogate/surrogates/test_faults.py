"""Which structures of a batch break the force field, and when memory is short."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.surrogates.batch import Batch
from defect_surrogate.surrogates.faults import OutOfMemoryError, evaluate, is_out_of_memory


class Picky:
    """Energies are sums of positions, forces the positions; it raises for batches with some structures."""

    device = torch.device("cpu")

    def __init__(self, refused, error=ValueError):
        self.refused, self.error, self.calls = refused, error, 0

    def evaluate(self, batch):
        self.calls += 1
        assert batch.owners.unique().tolist() == list(range(len(batch.names)))
        assert len(batch.cells) == len(batch.names)
        for name in batch.names:
            if name in self.refused:
                raise self.error(f"not {name}")
        energies = torch.zeros(len(batch.names)).double()
        return energies.index_add_(0, batch.owners, batch.positions.sum(1)), batch.positions.clone()


def batch(sizes):
    owners = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    positions = torch.arange(3 * len(owners)).double().view(-1, 3)
    names = tuple(range(100, 100 + len(sizes)))
    return Batch(
        names, torch.ones(len(owners)).long(), positions, owners, torch.eye(3).double().repeat(len(sizes), 1, 1)
    )


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=17), data=st.data())
def test_exactly_those_that_break_it_are_broken(sizes, data):
    places = data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    whole = batch(sizes)
    energies, forces, broken = evaluate(Picky({100 + place for place in places}), whole)
    assert set(broken) == places
    for place in range(len(sizes)):
        mine = whole.owners == place
        if place in places:
            assert str(broken[place]) == f"not {100 + place}"
            assert torch.isnan(energies[place])
            assert torch.isnan(forces[mine]).all()
        else:
            assert energies[place] == whole.positions[mine].sum()
            assert torch.equal(forces[mine], whole.positions[mine])


def test_one_of_a_thousand_is_found_in_twice_the_logarithm():
    field = Picky({700})
    evaluate(field, batch([1] * 1024))
    assert field.calls == 21


def test_short_memory_is_no_broken_structure():
    with pytest.raises(OutOfMemoryError, match="not 101"):
        evaluate(Picky({101}, error=torch.cuda.OutOfMemoryError), batch([2, 2]))


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
