import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.dataset.sampling import evenly_spaced, evenly_spaced_indices
from defect_surrogate.errors import DatasetError


@pytest.mark.parametrize("length", [1, 7, 10, 11, 137])
def test_indices_are_those_of_the_authors(length):
    authors = sorted({int(i) for i in np.linspace(0, length - 1, 10)})
    assert evenly_spaced_indices(length, 10) == authors


@given(length=st.integers(1, 300), count=st.integers(0, 60))
def test_indices_are_spread_and_keep_both_ends(length, count):
    indices = evenly_spaced_indices(length, count)
    assert indices == sorted(set(indices))
    assert len(indices) == min(length, count)
    assert count < 2 or (indices[0], indices[-1]) == (0, length - 1)
    assert len(indices) < 2 or np.ptp(np.diff(indices)) <= 1


def test_every_relaxation_gives_its_share(dataset_of, relaxations):
    dataset = dataset_of(*relaxations("CdTe", labels=2, steps=31), *relaxations("CdSe", labels=1, steps=4))
    sampled = evenly_spaced(dataset)
    steps = [frame.step for frame in sampled.frames if frame.host == "CdTe" and frame.label == "Bond_1"]
    assert steps == [0, 3, 6, 10, 13, 16, 20, 23, 26, 30]
    assert len(sampled) == 10 + 10 + 4
    assert len(evenly_spaced(dataset, per_relaxation=45)) == len(dataset)


@pytest.mark.parametrize(("wanted", "kept"), [(None, 36), (5, 5), (20, 20), (0, 0), (99, 36)])
def test_bulk_frames_are_spread_over_all_of_a_host(dataset_of, relaxations, wanted, kept):
    dataset = dataset_of(*relaxations("CdTe", defect="bulk", labels=12, steps=3), *relaxations("CdTe", steps=2))
    sampled = evenly_spaced(dataset, bulk_per_host=wanted)
    bulk = [frame for frame in sampled.frames if frame.is_bulk]
    assert len(bulk) == kept
    assert len(sampled) - len(bulk) == 4
    assert wanted != 5 or len({frame.label for frame in bulk}) == 5


def test_numbers_that_cannot_be_are_refused(dataset):
    with pytest.raises(DatasetError, match="0 frames of a relaxation"):
        evenly_spaced(dataset, per_relaxation=0)
    with pytest.raises(DatasetError, match="-1 of a bulk"):
        evenly_spaced(dataset, bulk_per_host=-1)
