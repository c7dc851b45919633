"""The page of a sweep: its figures of merit in words, what happens against composition, and the table of all environments."""

from pathlib import Path
from urllib.parse import quote

import plotly.graph_objects as go

from defect_surrogate.metrics import HIT_TOLERANCE
from defect_surrogate.reconstruction import NO_BONDS
from defect_surrogate.reports.alloy_schema import AlloyReport, CompositionReport, EnvironmentReport
from defect_surrogate.reports.alloy_weights import at_one_level, has_lowering, row_weights
from defect_surrogate.reports.figures import NEUTRAL_COLOUR, REFERENCE_COLOUR, SURROGATE_COLOUR
from defect_surrogate.reports.files import replace_file
from defect_surrogate.reports.html import Figure, figure_of, render
from defect_surrogate.reports.page import PAGE_FILE
from defect_surrogate.reports.statements import in_ev

# Okabe and Ito's colours, told apart by colour-blind readers: https://jfly.uni-koeln.de/color/
BAR_WIDTH = 0.05
"""In x, of which compositions are rarely closer."""
KIND_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#F0E442")
PATTERNS = ("", "/", "x", ".")
"""Of bars, one after another when colours run out."""


def write_alloy_page(report: AlloyReport, folder: Path) -> Path:
    """Write ``report.html`` of a sweep.

    Parameters
    ----------
    report
        The report.
    folder
        Of the sweep.

    Returns
    -------
    Path
        The page.
    """
    path = folder / PAGE_FILE
    page = render(
        "alloy.html",
        name=report.name,
        created=report.created,
        versions=report.versions,
        report=report,
        statements=alloy_statements(report),
        columns=tuple(alloy_rows(report)[0]) if report.rows else (),
        rows=[
            (_link(one, row), cells.values())
            for (one, row), cells in zip(_pairs(report), alloy_rows(report), strict=True)
        ],
        figures=_figures(report),
        hit_tolerance=HIT_TOLERANCE,
    )
    replace_file(path, page)
    return path


def alloy_rows(report: AlloyReport) -> list[dict[str, str]]:
    """One row for each vacancy, as text: the paper's SI Table 17, for a page, a terminal or a table artifact.

    Parameters
    ----------
    report
        The report.

    Returns
    -------
    list of dict
        Column → text; every row has the same columns.
    """
    return [_row(one, row) for one, row in _pairs(report)]


def alloy_statements(report: AlloyReport) -> tuple[str, ...]:
    """Say what a sweep searched and found.

    Parameters
    ----------
    report
        The report.

    Returns
    -------
    tuple of str
        Sentences, plain text, unescaped.
    """
    rows = report.rows
    sentences = [
        f"{len(rows)} vacancies in {len({row.host for row in rows})} supercells of {len(report.compositions)} compositions of "
        f"{report.name}; surrogate: {report.surrogate or 'no result'}; reference: {report.reference or 'not used'}."
    ]
    if report.compared:
        sentences.append(
            f"Of {report.compared} vacancies whose coarse search was run to its end at the reference level, "
            f"{report.found_or_lower} have its ground state or a lower one, {report.lower} a lower one"
            + (f", by {in_ev(report.mean_lowering_eV)} on average." if report.mean_lowering_eV is not None else ".")
        )
    if report.dft_saved is not None and report.reference is not None:
        saved = f"Reference relaxations saved against the coarse search: {report.dft_saved:.0%}"
        faster = "" if report.speedup_median is None else f"; speed-up {report.speedup_median:.1f} (median)"
        sentences.append(f"{saved}{faster}.")
    if gains := [row.transfer_gain for row in rows if row.transfer_gain is not None]:
        won = [gain for gain in gains if gain < -HIT_TOLERANCE]
        sentences.append(
            f"Minima of other environments, offered as starts to {len(gains)} vacancies, led lower than the other starts "
            f"followed in {len(won)}" + (f", by {in_ev(sum(won) / len(won))} on average." if won else ".")
        )
    sentences += [f"Warning: {name} was lost: {error}" for name, error in report.lost.items()]
    sentences += [
        f"Warning: {one.name}: {one.unfinished} relaxations of end members or of supercells have no result, and without them "
        "its vacancies are not known."
        for one in report.compositions
        if one.unfinished
    ]
    if reconstructed := [f"{row.host}/{row.vacancy}" for row in rows if row.unperturbed_bonds not in (None, NO_BONDS)]:
        sentences.append(
            f"Unperturbed itself reconstructs in {', '.join(reconstructed)}: energy lowering is left out of means there."
        )
    if unfinished := sum(row.unfinished + row.failures for row in rows):
        sentences.append(f"Warning: vacancies' units without a result: {unfinished}.")
    return tuple(sentences)


def _pairs(report: AlloyReport) -> list[tuple[CompositionReport, EnvironmentReport]]:
    return [(one, row) for one in report.compositions for row in one.rows]


def _row(one: CompositionReport, row: EnvironmentReport) -> dict[str, str]:
    reconstruction = "–" if row.bonds is None else row.bonds
    if row.coarse_bonds is not None and row.bonds is not None and row.lower is not None:
        reconstruction = f"{row.coarse_bonds} → {row.bonds}" if row.lower or row.found_or_lower is False else row.bonds
    return {
        "composition": one.name,
        "vacancy": f"{row.vacancy} ({row.realisation})",
        "sites": str(row.sites),
        "starts": f"{row.surrogate_structures}"
        + (f" ({row.transferred_structures} transferred)" if row.transferred_structures else ""),
        "minima, coarse search": _number(row.coarse_minima),
        "minima, surrogate": str(row.surrogate_minima),
        "minima, reference": _number(row.minima),
        "against coarse search": "–"
        if row.energy_difference is None or row.found_or_lower is None
        else in_ev(row.energy_difference),
        "ground state": reconstruction,
        "energy lowering": "–"
        if row.energy_lowering is None
        else in_ev(row.energy_lowering) + (" (surrogate)" if row.level == "surrogate" else ""),
        "by transfer": "–" if row.transfer_gain is None else in_ev(row.transfer_gain),
        "reference relaxations": str(row.reference_relaxations),
    }


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)


def _link(one: CompositionReport, row: EnvironmentReport) -> str:
    """Return the address of a vacancy on the page of its composition, whose vacancies are numbered in this order."""
    return f"compositions/{quote(one.name)}/{PAGE_FILE}#vacancy-{one.rows.index(row)}"


def _figures(report: AlloyReport) -> tuple[Figure, ...]:
    if not report.rows:
        return ()
    return (
        figure_of(
            "Energy lowering against composition",
            "Energy lowering of each vacancy, and the mean weighted by the probabilities of the environments",
            lowering_figure(report),
        ),
        figure_of(
            "New bonds in the ground states",
            "Share of each kind of new bonds, environments weighted by their probabilities",
            bond_figure(report),
        ),
    )


def lowering_figure(report: AlloyReport) -> go.Figure:
    """Draw the energy lowering of each vacancy against composition, and the weighted mean.

    Parameters
    ----------
    report
        The report.

    Returns
    -------
    plotly.graph_objects.Figure
        Over x, or over names where more than two species mix.
    """
    points = [(_position(one), row) for one, row in _pairs(report) if has_lowering(row)]
    elements = list(dict.fromkeys(row.element for row in report.rows))
    figure = go.Figure(
        [
            go.Scatter(
                x=[x for x, _ in points],
                y=[row.energy_lowering for _, row in points],
                mode="markers",
                name="each vacancy",
                marker={"color": SURROGATE_COLOUR, "size": 8, "opacity": 0.7},
                hovertext=[f"{row.vacancy}<br>{row.motif}<br>{row.energy_lowering:+.3f} eV" for _, row in points],
                hoverinfo="text",
            ),
            *(_mean(report, element, number) for number, element in enumerate(elements)),
        ]
    )
    figure.update_layout(_layout(report, "E(ground state) − E(Unperturbed) (eV)"))
    return figure


def _mean(report: AlloyReport, element: str, number: int) -> go.Scatter:
    means = [
        (_position(one), one.energy_lowering[element]) for one in report.compositions if element in one.energy_lowering
    ]
    if all(one.x is not None for one in report.compositions):
        means.sort()
    return go.Scatter(
        x=[x for x, _ in means],
        y=[mean for _, mean in means],
        mode="lines+markers",
        name=f"{element} vacancies, mean weighted by probability",
        line={"color": (REFERENCE_COLOUR, *KIND_COLOURS[2:])[number % 6], "width": 2},
        marker={"size": 11, "symbol": "diamond"},
    )


def bond_figure(report: AlloyReport) -> go.Figure:
    """Draw which new bonds the ground states have against composition.

    Parameters
    ----------
    report
        The report.

    Returns
    -------
    plotly.graph_objects.Figure
        Stacked shares of the vacancies of each composition, weighted by the probabilities of their environments.
    """
    shares: dict[str, dict[str, float]] = {}
    for one in report.compositions:
        probabilities = {(s.element, s.environment): s.probability for s in one.statistics}
        found = at_one_level([row for row in one.rows if row.bonds is not None])
        weights = row_weights(found, probabilities)
        total = sum(weights)
        for row, weight in zip(found, weights, strict=True):
            kind = shares.setdefault(row.bonds or "", {})
            kind[one.name] = kind.get(one.name, 0.0) + (weight / total if total else 0.0)
    figure = go.Figure(
        [
            go.Bar(
                x=[_position(one) for one in report.compositions],
                y=[shares[kind].get(one.name, 0.0) for one in report.compositions],
                name=kind,
                marker={
                    "color": NEUTRAL_COLOUR if kind == NO_BONDS else KIND_COLOURS[i % len(KIND_COLOURS)],
                    "pattern": {"shape": PATTERNS[i // len(KIND_COLOURS) % len(PATTERNS)]},
                },
            )
            for i, kind in enumerate(sorted(shares))
        ]
    )
    figure.update_layout(_layout(report, "Share of vacancies"), barmode="stack")
    if all(one.x is not None for one in report.compositions):
        figure.update_traces(width=BAR_WIDTH)
    return figure


def _position(one: CompositionReport) -> float | str:
    return one.name if one.x is None else one.x


def _layout(report: AlloyReport, title: str) -> dict[str, object]:
    names = {one.x: one.name for one in report.compositions}
    numeric = None not in names
    axis: dict[str, object] = {"title": "x" if numeric else "Composition", "zeroline": False}
    if numeric:
        axis |= {"range": [-0.07, 1.07]}
    return {
        "height": 420,
        "margin": {"l": 70, "r": 20, "t": 30, "b": 90},
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        "xaxis": axis,
        "yaxis": {"title": title, "zeroline": False},
    }
