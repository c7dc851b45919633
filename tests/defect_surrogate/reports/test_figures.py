import dataclasses

import pytest

from defect_surrogate.reports.figures import HIGHEST_SHOWN, energy_figure
from defect_surrogate.reports.schema import FailureReport


def vacancy(case, **changes):
    return dataclasses.replace(case.campaign.hosts[0].vacancies[0], **changes)


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_energies_are_relative_to_unperturbed(analysed):
    trace = traces(energy_figure(vacancy(analysed)))["Reference, from sampling structures"]
    points = dict(zip(trace.x, trace.y, strict=True))
    assert points[-0.4] == pytest.approx(-206.47792034 + 205.72311458)
    assert points[-0.05] == pytest.approx(-205.72668443 + 205.72311458)


def test_levels_are_series_of_their_own(missed):
    found = traces(energy_figure(vacancy(missed)))
    assert set(found) == {
        "Reference, from sampling structures",
        "Reference, from surrogate minima",
        "Reference, Unperturbed",
        "Surrogate",
        "No energy (failed or diverged)",
    }
    assert list(found["Reference, Unperturbed"].y) == [0.0]
    assert sorted(found["No energy (failed or diverged)"].x) == [-0.6, -0.575]
    assert "circle-open" in found["Reference, from sampling structures"].marker.symbol


def test_only_known_nonconvergence_is_hollow(analysed):
    report = vacancy(analysed)
    unknown = tuple(dataclasses.replace(one, converged=None, reason="not recorded") for one in report.relaxations)
    trace = traces(energy_figure(dataclasses.replace(report, relaxations=unknown)))[
        "Reference, from sampling structures"
    ]
    assert set(trace.marker.symbol) == {"circle"}


def test_other_starts_stand_to_the_right_of_the_distortions(analysed):
    report = vacancy(analysed)
    extra = [dataclasses.replace(report.relaxations[1], label=label) for label in ("Dimer", "Rattled", "Dimer_from_-1")]
    figure = energy_figure(dataclasses.replace(report, relaxations=(*report.relaxations, *extra)))
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert 0.6 < ticks["Dimer"] < ticks["Rattled"] < figure.layout.xaxis.range[1]


def test_high_energies_are_drawn_at_the_edge(analysed):
    report = vacancy(analysed)
    high = dataclasses.replace(report.relaxations[1], label="Bond_Distortion_60.0%_High_Energy", energy=100.0)
    figure = energy_figure(dataclasses.replace(report, relaxations=(*report.relaxations, high)))
    trace = traces(figure)["Reference, from sampling structures"]
    y = dict(zip(trace.x, trace.y, strict=True))[0.6]
    assert HIGHEST_SHOWN < y < figure.layout.yaxis.range[1]
    assert "triangle-up" in trace.marker.symbol


def test_axis_says_what_zero_is_without_unperturbed(analysed):
    report = vacancy(analysed)
    relaxations = tuple(one for one in report.relaxations if one.label != "Unperturbed")
    figure = energy_figure(dataclasses.replace(report, relaxations=relaxations))
    assert "E(lowest)" in figure.layout.yaxis.title.text
    assert min(traces(figure)["Reference, from sampling structures"].y) == 0


def test_nothing_to_draw_is_an_empty_plot(analysed):
    assert energy_figure(vacancy(analysed, relaxations=(), failures=())).data == ()


def test_labels_and_messages_are_escaped(analysed):
    report = vacancy(analysed)
    hostile = dataclasses.replace(report.relaxations[1], label='<a href="http://x">y</a>', detail="<b>")
    failure = FailureReport("CdTe/v_Cd_0/<img src=x>/reference", "E", "<script>")
    drawn = energy_figure(dataclasses.replace(report, relaxations=(*report.relaxations, hostile), failures=(failure,)))
    text = drawn.to_json().replace("<br>", "").replace("\\u003cbr\\u003e", "")
    assert "<" not in text
    assert "\\u003c" not in text
