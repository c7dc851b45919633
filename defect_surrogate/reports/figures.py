"""Energy against distortion, as ShakeNBreak draws it.

ShakeNBreak (doi:10.21105/joss.04817) plots the energy of each relaxed structure, relative to the relaxed ``Unperturbed``,
against the bond distortion it started from. All text from outside is escaped: plotly reads a part of HTML.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from defect_surrogate.distortions import LARGEST_DISTORTION
from defect_surrogate.reports.labels import parse_label
from defect_surrogate.reports.schema import FailureReport, RelaxationReport, VacancyReport

HIGHEST_SHOWN = 0.5
"""eV above ``Unperturbed``; higher points are drawn at the top edge (ShakeNBreak's ``max_energy_above_unperturbed``)."""

# Okabe and Ito's colours, told apart by colour-blind readers: https://jfly.uni-koeln.de/color/
SURROGATE_COLOUR, REFERENCE_COLOUR, FROM_SURROGATE_COLOUR = "#E69F00", "#3A86C8", "#D55E00"
NEUTRAL_COLOUR = "#888888"


@dataclass(frozen=True)
class _Axes:
    """Where points go: x of starts without a bond distortion, (energy drawn at 0, whether ``Unperturbed``'s), top edge."""

    positions: dict[str, float]
    zeros: dict[str, tuple[float | None, bool]]
    edge: float


def energy_figure(vacancy: VacancyReport) -> go.Figure:
    """Draw energy against bond distortion.

    Parameters
    ----------
    vacancy
        Its report. Each level is relative to its own relaxed ``Unperturbed``, or to its lowest energy without one.

    Returns
    -------
    plotly.graph_objects.Figure
        Hollow markers did not converge; triangles at the top edge lie above it; crosses have no energy.
    """
    zeros = {level: _zero(vacancy, level) for level in ("surrogate", "reference")}
    shown = [
        one.energy - zero
        for one in vacancy.relaxations
        if one.energy is not None and (zero := zeros[one.level][0]) is not None
    ]
    top, bottom = min(max([0.05, *shown]), HIGHEST_SHOWN), min([-0.05, *shown])
    axes = _Axes(_positions(vacancy), zeros, edge=top + 0.06 * (top - bottom))
    surrogate = [one for one in vacancy.relaxations if one.level == "surrogate"]
    reference = [one for one in vacancy.relaxations if one.level == "reference"]
    continued = [one for one in reference if parse_label(one.label).from_surrogate]
    sampled = [one for one in reference if one not in continued]
    unperturbed = [one for one in sampled if one.label == "Unperturbed"]
    traces = [
        _series("Reference, from sampling structures", sampled, axes, colour=REFERENCE_COLOUR, symbol="circle"),
        _series("Surrogate", surrogate, axes, colour=SURROGATE_COLOUR, symbol="square"),
        _series(
            "Reference, from surrogate minima", continued, axes, colour=FROM_SURROGATE_COLOUR, symbol="diamond", size=13
        ),
        _series("Reference, Unperturbed", unperturbed, axes, colour=NEUTRAL_COLOUR, symbol="star", size=15),
        _lost(vacancy, axes),
    ]
    if len(sampled) == len(unperturbed):
        del traces[0]
    figure = go.Figure([trace for trace in traces if trace.x])
    figure.add_hline(y=0, line={"dash": "dash", "width": 1, "color": NEUTRAL_COLOUR})
    ticks = {factor: f"{factor:+.1f}" if factor else "0" for factor in (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6)}
    ticks |= {x: html.escape(name) for name, x in axes.positions.items()}
    figure.update_layout(
        height=430,
        margin={"l": 70, "r": 20, "t": 30, "b": 110},
        showlegend=True,
        legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        xaxis={
            "title": "Bond distortion of the start",
            "tickvals": list(ticks),
            "ticktext": list(ticks.values()),
            "range": [-0.68, max([0.68, *(x + 0.12 for x in axes.positions.values())])],
            "zeroline": False,
        },
        yaxis={
            "title": "E − E(Unperturbed) (eV)" if zeros["reference"][1] or not reference else "E − E(lowest) (eV)",
            "range": [bottom - 0.08 * (top - bottom), top + 0.12 * (top - bottom)],
            "zeroline": False,
        },
    )
    return figure


def _positions(vacancy: VacancyReport) -> dict[str, float]:
    """Place starts that are no bond distortion to the right of +0.6."""
    labels = [one.label for one in vacancy.relaxations] + [
        failure.unit.split("/")[-2] for failure in _unit_failures(vacancy)
    ]
    starts = [parse_label(label) for label in labels]
    kinds = sorted({one.kind for one in starts if one.bond_distortion is None and one.kind != "Unperturbed"})
    return {kind: 0.8 + 0.2 * i for i, kind in enumerate(kinds)}


def _unit_failures(vacancy: VacancyReport) -> list[FailureReport]:
    return [failure for failure in vacancy.failures if failure.unit.count("/") >= 3]


def _x(label: str, axes: _Axes) -> float:
    start = parse_label(label)
    return start.bond_distortion if start.bond_distortion is not None else axes.positions.get(start.kind, 0.0)


def _zero(vacancy: VacancyReport, level: str) -> tuple[float | None, bool]:
    """Return the energy that is drawn at 0, and whether it is that of ``Unperturbed``."""
    energies = {one.label: one.energy for one in vacancy.relaxations if one.level == level and one.energy is not None}
    if "Unperturbed" in energies:
        return energies["Unperturbed"], True
    return min(energies.values(), default=None), False


def _series(
    name: str, relaxations: Sequence[RelaxationReport], axes: _Axes, *, colour: str, symbol: str, size: int = 9
) -> go.Scatter:
    points = []
    for one in relaxations:
        zero = axes.zeros[one.level][0]
        if one.energy is None or zero is None:
            continue
        relative = one.energy - zero
        above = relative > HIGHEST_SHOWN
        shape = "triangle-up" if above else symbol
        text = f"{html.escape(one.label)}<br>{name}<br>{relative:+.3f} eV, {html.escape(one.reason)}"
        y = axes.edge if above else relative
        points.append((_x(one.label, axes), y, f"{shape}-open" if one.converged is False else shape, text))
    points.sort(key=lambda point: point[:2])
    drawn: list[tuple[float | None, float | None, str, str]] = []
    for point in points:
        if point[0] > LARGEST_DISTORTION:  # no continuation of the bond distortions: a gap in the line
            drawn.append((None, None, symbol, ""))
        drawn.append(point)
    return go.Scatter(
        x=[x for x, *_ in drawn],
        y=[y for _, y, *_ in drawn],
        mode="lines+markers" if size == 9 else "markers",
        name=name,
        line={"width": 1, "color": colour},
        marker={
            "symbol": [shape for *_, shape, _ in drawn],
            "size": size,
            "color": colour,
            "line": {"width": 2, "color": colour},
        },
        hovertext=[text for *_, text in drawn],
        hoverinfo="text",
    )


def _lost(vacancy: VacancyReport, axes: _Axes) -> go.Scatter:
    lost = [
        (one.label, f"{one.level}: {one.reason}: {one.detail}") for one in vacancy.relaxations if one.energy is None
    ]
    for failure in _unit_failures(vacancy):
        label, level = failure.unit.split("/")[-2:]
        lost.append((label, f"{level}: {failure.error}: {failure.message[:200]}"))
    return go.Scatter(
        x=[_x(label, axes) for label, _ in lost],
        y=[axes.edge] * len(lost),
        mode="markers",
        name="No energy (failed or diverged)",
        marker={"symbol": "x", "size": 10, "color": NEUTRAL_COLOUR},
        hovertext=[f"{html.escape(label)}<br>{html.escape(text)}" for label, text in lost],
        hoverinfo="text",
    )
