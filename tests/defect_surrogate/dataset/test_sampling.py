import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.dataset.sampling import evenly_spaced, evenly_spaced_indices, fair_shares
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
    assert [frame.step for frame in evenly_spaced(dataset, per_relaxation=1).frames] == [3, 30, 30]


@pytest.mark.parametrize(
    ("lengths", "count", "shares"),
    [
        ([130, 1, 1, 1], 10, [7, 1, 1, 1]),
        ([5, 5, 5], 10, [3, 3, 4]),
        ([4, 6, 5], 10, [3, 4, 3]),
        ([2, 9, 9], 10, [2, 4, 4]),
        ([3, 1], 10, [3, 1]),
        ([7], 3, [3]),
        ([], 3, []),
    ],
)
def test_shares_are_fair(lengths, count, shares):
    assert fair_shares(lengths, count) == shares


@given(lengths=st.lists(st.integers(1, 150), max_size=20), count=st.integers(0, 200))
def test_shares_add_up_and_nobody_gives_less_than_another_who_has_less(lengths, count):
    shares = fair_shares(lengths, count)
    assert sum(shares) == min(sum(lengths), count)
    for share, length in zip(shares, lengths, strict=True):
        assert 0 <= share <= length
        assert share == length or share >= max(shares) - 1


@pytest.fixture(scope="session")
def host(dataset_of, labelled):
    """A host relaxed in many steps, single points of strained cells, and two frames of a defect."""

    def make(steps=130, cells=10):
        frames = [labelled(f"CdTe/bulk/Host/{step}") for step in range(steps)]
        frames += [labelled(f"CdTe/bulk/Strained_{cell:02d}/0") for cell in range(cells)]
        return dataset_of(*frames, *(labelled(f"CdTe/v_Cd_0/Dimer/{step}") for step in range(2)))

    return make


def bulk_of(dataset, wanted):
    return [frame.name.removeprefix("CdTe/bulk/") for frame in evenly_spaced(dataset, bulk_per_host=wanted).frames[:-2]]


def test_a_long_relaxation_of_the_host_leaves_room_for_every_strained_cell(host):
    cells = [f"Strained_{cell:02d}/0" for cell in range(10)]
    assert bulk_of(host(), 12) == ["Host/0", "Host/129", *cells]
    assert bulk_of(host(), 14) == ["Host/0", "Host/43", "Host/86", "Host/129", *cells]
    assert bulk_of(host(), 11) == ["Host/129", *cells]


def test_where_frames_are_few_the_relaxed_host_and_cells_of_all_strains_are_kept(host):
    assert bulk_of(host(), 4) == ["Host/129", "Strained_02/0", "Strained_05/0", "Strained_09/0"]
    assert bulk_of(host(), 1) == ["Host/129"]
    assert bulk_of(host(), 0) == []


@given(steps=st.integers(0, 40), cells=st.integers(0, 6), wanted=st.one_of(st.none(), st.integers(0, 60)))
def test_never_more_than_asked_and_all_where_there_are_fewer(host, steps, cells, wanted):
    dataset = host(steps, cells)
    kept = bulk_of(dataset, wanted)
    there = steps + cells
    assert len(kept) == len(set(kept)) == (there if wanted is None else min(there, wanted))
    assert not (wanted and steps) or f"Host/{steps - 1}" in kept
    assert kept == bulk_of(dataset, wanted)


def test_numbers_that_cannot_be_are_refused(dataset):
    with pytest.raises(DatasetError, match="0 frames of a relaxation"):
        evenly_spaced(dataset, per_relaxation=0)
    with pytest.raises(DatasetError, match="-1 of a bulk"):
        evenly_spaced(dataset, bulk_per_host=-1)
