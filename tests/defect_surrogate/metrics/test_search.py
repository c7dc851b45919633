"""Figures of merit against numbers worked out by hand."""

import math

import pytest

from defect_surrogate.metrics import (
    DFTSaved,
    SearchTimes,
    dft_saved,
    hit_rate,
    is_hit,
    is_new_ground_state,
    mean_of_known,
    speed_up,
    speed_ups,
)


@pytest.mark.parametrize(
    ("minima", "sampling_structures", "with_unperturbed", "without_unperturbed"),
    [(3, 15, 11 / 15, 0.8), (1, 15, 13 / 15, 14 / 15), (15, 15, -1 / 15, 0.0), (0, 10, 0.9, 1.0)],
)
def test_dft_saved_by_hand(minima, sampling_structures, with_unperturbed, without_unperturbed):
    saved = dft_saved(minima, sampling_structures=sampling_structures)
    assert saved == DFTSaved(pytest.approx(with_unperturbed), pytest.approx(without_unperturbed))


@pytest.mark.parametrize(("minima", "sampling_structures"), [(1, 0), (-1, 15)])
def test_dft_saved_refuses_counts_that_cannot_be(minima, sampling_structures):
    with pytest.raises(ValueError, match=f"minima={minima}, sampling_structures={sampling_structures}"):
        dft_saved(minima, sampling_structures=sampling_structures)


@pytest.mark.parametrize(
    ("difference", "hit", "new"),
    [(0.0, True, False), (0.049, True, False), (0.051, False, False), (-0.049, True, False), (-0.051, True, True)],
)
def test_hit_and_new_ground_state(difference, hit, new):
    energy = -206.0 + difference
    assert is_hit(energy, full_reference_energy=-206.0) is hit
    assert is_new_ground_state(energy, full_reference_energy=-206.0) is new


def test_speed_up_by_hand():
    assert speed_up(SearchTimes(full_reference=1500, minima_reference=290, surrogate=10)) == pytest.approx(5.0)


@pytest.mark.parametrize(
    "times",
    [
        SearchTimes(math.nan, 1.0, 1.0),
        SearchTimes(1.0, math.nan, 1.0),
        SearchTimes(1.0, 1.0, math.nan),
        SearchTimes(1.0, 0.0, 0.0),
    ],
)
def test_no_speed_up_without_times(times):
    assert speed_up(times) is None
    assert speed_ups([times]) is None


def test_speed_ups_over_defects_by_hand():
    # ratios 2, 4 and 12; totals 100 + 40 + 240 = 380 over 50 + 10 + 20 = 80
    searches = [
        SearchTimes(100, 40, 10),
        SearchTimes(240, 15, 5),
        SearchTimes(math.nan, 1, 1),
        SearchTimes(40, 8, 2),
    ]
    summary = speed_ups(searches)
    assert (summary.mean, summary.median, summary.ratio_of_totals, summary.defects) == (6.0, 4.0, 4.75, 3)
    assert speed_ups(searches[:2]).median == 7.0
    assert speed_ups([]) is None


def test_hit_rate_and_means_leave_out_what_is_not_known():
    assert hit_rate([True, None, False, True, True]) == pytest.approx(0.75)
    assert hit_rate([None]) is None
    assert mean_of_known([0.7, None, 0.8]) == pytest.approx(0.75)
    assert mean_of_known([]) is None
