"""Disagreement against values by hand, and against ensembles whose errors are known by construction."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.metrics import uncertainty, vector_uncertainty


def test_by_hand():
    """Deviations of (1, 3) and (0, 4): √2 and √8; errors of the first member: 1 and 2."""
    found = uncertainty(np.array([[1.0, 0.0], [3.0, 4.0]]), np.array([2.0, 2.0]))
    assert found.deviation == pytest.approx(math.sqrt((2 + 8) / 2))
    assert found.ratio == pytest.approx(math.sqrt((1 + 4) / 2) / math.sqrt(5))
    assert (found.correlation, found.count) == (None, 2)


def test_vectors_are_root_mean_squares_over_their_values():
    members = [[np.zeros((2, 3))], [np.array([[2.0, 0, 0], [0, 0, 0]])]]
    found = vector_uncertainty(members, [np.full((2, 3), 1.0)])
    assert found.deviation == pytest.approx(math.sqrt(2 / 6))
    assert found.ratio == pytest.approx(1 / math.sqrt(2 / 6))


def test_members_drawn_about_the_truth_are_calibrated():
    """Truth and members from one distribution, whose width differs between configurations: ratio √2, since both are drawn."""
    rng = np.random.default_rng(1)
    widths = rng.uniform(0.1, 10.0, 4000)
    members = rng.normal(0.0, widths, (8, 4000))
    found = uncertainty(members, rng.normal(0.0, widths))
    assert found.ratio == pytest.approx(math.sqrt(2), rel=0.05)
    assert found.correlation > 0.4


def test_an_ensemble_that_agrees_on_what_is_wrong_has_no_ratio():
    found = uncertainty(np.ones((3, 5)), np.arange(5.0))
    assert (found.deviation, found.ratio, found.correlation) == (0.0, None, None)


@given(
    st.integers(2, 5),
    st.lists(st.integers(1, 6), min_size=1, max_size=6),
    st.floats(0.1, 10),
    st.integers(0, 2**32 - 1),
)
def test_units_scale_and_neither_order_of_configurations_nor_of_later_members_matters(members, sizes, factor, seed):
    rng = np.random.default_rng(seed)
    reference = [rng.normal(size=(n, 3)) for n in sizes]
    predicted = [[rng.normal(size=(n, 3)) for n in sizes] for _ in range(members)]
    found = vector_uncertainty(predicted, reference)
    order = rng.permutation(len(sizes))
    shuffled = [[one[i] * factor for i in order] for one in [predicted[0], *predicted[:0:-1]]]
    other = vector_uncertainty(shuffled, [reference[i] * factor for i in order])
    assert other.deviation == pytest.approx(factor * found.deviation)
    assert other.ratio == pytest.approx(found.ratio)
    assert found.correlation is None or -1 <= found.correlation <= 1


def test_without_configurations_there_is_nothing_and_one_member_is_refused():
    assert uncertainty(np.empty((2, 0)), np.empty(0)) is None
    with pytest.raises(ValueError, match="1 members cannot disagree"):
        uncertainty(np.ones((1, 2)), np.ones(2))
