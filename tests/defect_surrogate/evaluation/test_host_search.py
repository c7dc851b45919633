"""Figures of merit over searched defects, worked out by hand."""

import json

import pytest

from defect_surrogate.errors import ReportError
from defect_surrogate.evaluation import (
    HostSearchResults,
    SearchedDefect,
    evaluate,
    host_search_json,
    search_figures,
    with_errors,
)

SEARCHED = (
    SearchedDefect("CdTe", "CdTe", "v_Cd_0", True, False, 0.01, 0.02, 0.8, 0.9, 4.0, 400.0, 90.0, 10.0),
    SearchedDefect("CdTe", "CdTe", "v_Te_0", False, False, 0.30, 0.4, 0.6, 0.7, 2.0, 100.0, 40.0, 10.0),
    SearchedDefect("CdSe", "CdSe", "v_Cd_0", True, True, -0.2, None, 0.7, 0.8, None, None, 5.0, 5.0),
    SearchedDefect("ZnSe", "ZnSe", "v_Zn_0", None, dft_saved=0.0),
)


def test_figures_are_of_the_defects_with_a_verdict():
    figures = search_figures(SEARCHED)
    assert (figures.n_compositions, figures.n_defects, figures.n_unfinished) == (2, 3, 1)
    assert figures.hit_rate == pytest.approx(2 / 3)
    assert (figures.n_reconstructing, figures.hit_rate_reconstructing) == (2, pytest.approx(1 / 2))
    assert figures.new_ground_states == 1
    assert figures.dft_saved == pytest.approx(0.7)
    assert figures.dft_saved_without_unperturbed == pytest.approx(0.8)
    assert (figures.speedup_mean, figures.speedup_median) == (pytest.approx(3.0), pytest.approx(3.0))
    assert figures.speedup_total == pytest.approx(500 / 150)
    assert figures.mae_rel_low_meV_per_atom is figures.spearman is None


def test_errors_are_those_of_the_searched_defects_alone(dataset, predict_with):
    evaluation = evaluate(predict_with({2: 0.3, 8: 0.6}), dataset)  # Unperturbed of CdSe, ground state of CdTe
    both = search_figures([SEARCHED[0], SEARCHED[2]], evaluation=evaluation)
    assert both.mae_rel_low_meV_per_atom == pytest.approx((100 + 2 * 200) / 3)
    only = search_figures(SEARCHED[:1], evaluation=evaluation)
    assert only.mae_rel_low_meV_per_atom == pytest.approx(200)
    assert only.spearman == pytest.approx(1.0)


def test_errors_that_leave_out_a_searched_defect_are_no_errors_of_the_search(dataset, predict_with):
    with pytest.raises(ReportError, match="CdTe/v_Te_0: was searched, and is not in the evaluation"):
        search_figures(SEARCHED, evaluation=evaluate(predict_with({}), dataset))


def test_nothing_searched_has_no_figures():
    figures = search_figures([])
    assert (figures.n_defects, figures.hit_rate, figures.dft_saved, figures.speedup_mean) == (0, None, None, None)


def test_a_defect_does_not_count_twice():
    with pytest.raises(ReportError, match="CdTe/v_Cd_0: is in two of the searches"):
        search_figures([*SEARCHED, SEARCHED[0]])


def test_json_has_the_published_shape():
    results = HostSearchResults("M3GNet tuned", "HSE06 (VASP)", search_figures(SEARCHED), SEARCHED)
    content = json.loads(host_search_json(results))
    assert {
        "n_compositions",
        "n_defects",
        "hit_rate",
        "dft_saved",
        "speedup_mean",
        "speedup_median",
        "speedup_total",
        "mae_rel_low_meV_per_atom",
        "spearman",
    } <= content["unseen"].keys()
    assert [one["defect"] for one in content["per_defect"]] == ["v_Cd_0", "v_Te_0", "v_Cd_0", "v_Zn_0"]
    assert content["per_defect"][3]["hit"] is None


def test_each_defect_has_the_errors_on_its_own_frames(dataset, predict_with):
    evaluation = evaluate(predict_with({2: 0.3, 8: 0.6}), dataset)
    cadmium, tellurium = with_errors(SEARCHED[:2], evaluation)
    assert cadmium.mae_rel_low_meV_per_atom == pytest.approx(200)
    assert cadmium.spearman == pytest.approx(1.0)
    assert tellurium == SEARCHED[1]  # which the evaluation does not have
