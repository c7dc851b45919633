"""A still picture of a run, ``overview.svg``: energy against bond distortion for each vacancy, for a page that lists many runs.

The figures of ``report.html`` show more; this one is small, needs no script, and has the same bytes for the same report.
"""

import io
import math
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from defect_surrogate.distortions import LARGEST_DISTORTION, UNPERTURBED
from defect_surrogate.reports.figures import (
    FROM_SURROGATE_COLOUR,
    HIGHEST_SHOWN,
    NEUTRAL_COLOUR,
    REFERENCE_COLOUR,
    SURROGATE_COLOUR,
)
from defect_surrogate.reports.files import replace_file
from defect_surrogate.reports.labels import parse_label
from defect_surrogate.reports.schema import CampaignReport, HostReport, RelaxationReport, VacancyReport
from defect_surrogate.reports.statements import in_ev

OVERVIEW_FILE = "overview.svg"

MOST_PANELS = 12
COLUMNS = 4
PANEL_INCHES = (3.2, 2.5)
LONGEST_TITLE = 44
"""Characters of a line of a title; the rest is left out, of host and vacancy half a line of each."""

OTHER_STARTS = LARGEST_DISTORTION + 0.2
"""Where starts stand that are neither ``Unperturbed`` nor a bond distortion."""

SERIES = (
    ("Surrogate", SURROGATE_COLOUR, "s", 4.0),
    ("Reference, from sampling structures", REFERENCE_COLOUR, "o", 4.0),
    ("Reference, from surrogate minima", FROM_SURROGATE_COLOUR, "D", 6.0),
)
"""Name, colour, marker and its size in points."""

_RING: dict[str, Any] = {"marker": "o", "markersize": 12.0, "markerfacecolor": "none", "markeredgecolor": "black"}
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8.0,
    "text.parse_math": False,
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "defect-surrogate",
}
_LOCK = threading.Lock()


@dataclass(frozen=True, order=True)
class _Mark:
    """How a point is drawn: its series, whether it lies above the panel, whether it did not converge."""

    series: int
    above: bool = False
    hollow: bool = False

    @property
    def style(self) -> dict[str, Any]:
        """What matplotlib is told."""
        _, colour, marker, size = SERIES[self.series]
        face = "none" if self.hollow else colour
        return {"marker": "^" if self.above else marker, "markersize": size, "color": colour, "markerfacecolor": face}


def write_overview(campaign: CampaignReport, folder: Path) -> Path | None:
    """Write ``overview.svg``, or remove it where nothing was searched.

    Parameters
    ----------
    campaign
        The report.
    folder
        Run folder; made when missing.

    Returns
    -------
    Path or None
        The picture; None where no vacancy has an energy.
    """
    path = folder / OVERVIEW_FILE
    pairs = [(host, vacancy) for host in campaign.hosts for vacancy in host.vacancies if _has_energy(vacancy)]
    if not pairs:
        path.unlink(missing_ok=True)
        return None
    pairs.sort(key=lambda pair: (pair[1].energy_lowering is None, pair[1].energy_lowering or 0.0))
    replace_file(path, _drawn(pairs))
    return path


def _has_energy(vacancy: VacancyReport) -> bool:
    return any(one.energy is not None for one in vacancy.relaxations)


def _drawn(pairs: Sequence[tuple[HostReport, VacancyReport]]) -> str:
    """Draw the first panels. matplotlib's settings are of the whole process: one thread at a time."""
    stream = io.StringIO()
    with _LOCK, mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the viewer has fonts of its own
        FigureCanvasSVG(_figure(pairs)).print_svg(stream, metadata={"Date": None, "Title": "Energy against distortion"})
    return stream.getvalue()


def _figure(pairs: Sequence[tuple[HostReport, VacancyReport]]) -> Figure:
    shown = pairs[:MOST_PANELS]
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    width, height = max(columns * PANEL_INCHES[0], 6.4), rows * PANEL_INCHES[1] + 0.5
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    marks: set[_Mark] = set()
    for panel, (host, vacancy) in zip(panels, shown, strict=False):
        marks |= _draw(panel, host, vacancy)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    figure.supxlabel("Bond distortion of the start", fontsize=9)
    figure.supylabel("E − E(Unperturbed) (eV)", fontsize=9)
    figure.legend(handles=_keys(marks), loc="outside upper center", ncols=2 if columns < 3 else 6, frameon=False)
    if more := len(pairs) - len(shown):
        figure.text(0.995, 0.005, f"and {more} more {'vacancy' if more == 1 else 'vacancies'}", ha="right", va="bottom")
    return figure


def _keys(marks: set[_Mark]) -> list[Line2D]:
    """Say what the marks mean that occur."""
    styles = [{"label": SERIES[one][0]} | _Mark(one).style for one in sorted({mark.series for mark in marks})]
    styles.append({"label": "Ground state"} | _RING)
    if any(mark.above for mark in marks):
        styles.append({"label": f"More than {HIGHEST_SHOWN} eV above", "marker": "^", "color": NEUTRAL_COLOUR})
    if any(mark.hollow for mark in marks):
        hollow = {"marker": "s", "color": NEUTRAL_COLOUR, "markerfacecolor": "none"}
        styles.append({"label": "Hollow: not converged"} | hollow)
    return [Line2D([], [], linestyle="", **style) for style in styles]


def _draw(panel: Axes, host: HostReport, vacancy: VacancyReport) -> set[_Mark]:
    zeros = {level: _zero(vacancy, level) for level in ("surrogate", "reference")}
    points = [
        (one, one.energy - zero)
        for one in vacancy.relaxations
        if one.energy is not None and (zero := zeros[one.level]) is not None
    ]
    top, bottom = (
        min(max(0.05, *(y for _, y in points), 0.05), HIGHEST_SHOWN),
        min(-0.05, *(y for _, y in points), -0.05),
    )
    edge = top + 0.06 * (top - bottom)
    ground = _ground_state(vacancy)
    drawn: dict[_Mark, list[tuple[float, float]]] = {}
    for one, y in points:
        mark = _Mark(_series(one), above=y > HIGHEST_SHOWN, hollow=one.converged is False)
        place = (_x(one.label), edge if mark.above else y)
        drawn.setdefault(mark, []).append(place)
        if (one.level, one.label) == ground:
            panel.plot(*place, **_RING)
    for mark, places in sorted(drawn.items()):
        panel.plot(*zip(*places, strict=True), linestyle="", **mark.style)
    panel.axhline(0.0, color=NEUTRAL_COLOUR, linestyle="--", linewidth=0.8)
    others = any(_x(one.label) == OTHER_STARTS for one, _ in points)
    ticks = {-0.6: "−0.6", -0.3: "−0.3", 0.0: "0", 0.3: "+0.3", 0.6: "+0.6"} | (
        {OTHER_STARTS: "other"} if others else {}
    )
    panel.set_xticks(list(ticks), labels=list(ticks.values()))
    panel.set_xlim(-0.68, OTHER_STARTS + 0.1 if others else 0.68)
    panel.set_ylim(bottom - 0.1 * (top - bottom), top + 0.14 * (top - bottom))
    name = "/".join(_short(part, LONGEST_TITLE // 2) for part in (host.name, vacancy.name))
    panel.set_title(f"{name}\n{_short(_finding(vacancy), LONGEST_TITLE)}", fontsize=8.0)
    return set(drawn)


def _zero(vacancy: VacancyReport, level: str) -> float | None:
    """Return the energy that is drawn at 0: that of ``Unperturbed``, else the lowest."""
    energies = {one.label: one.energy for one in vacancy.relaxations if one.level == level and one.energy is not None}
    return energies.get(UNPERTURBED, min(energies.values(), default=None))


def _series(one: RelaxationReport) -> int:
    return 0 if one.level == "surrogate" else 2 if parse_label(one.label).from_surrogate else 1


def _x(label: str) -> float:
    start = parse_label(label)
    if start.bond_distortion is not None:
        return start.bond_distortion
    return 0.0 if start.kind == UNPERTURBED else OTHER_STARTS


def _ground_state(vacancy: VacancyReport) -> tuple[str, str | None]:
    """Return level and label of the ground state, of the surrogate where it is used alone."""
    if vacancy.ground_state is None and vacancy.surrogate_minima and not vacancy.reference_relaxations:
        return "surrogate", vacancy.surrogate_minima[0].label
    return "reference", None if vacancy.ground_state is None else vacancy.ground_state.label


def _finding(vacancy: VacancyReport) -> str:
    if vacancy.ground_state is None:
        if vacancy.surrogate_minima and not vacancy.reference_relaxations:
            return f"surrogate alone; {vacancy.surrogate_minima[0].kind}"
        return "no result at the reference level"
    if vacancy.energy_lowering is None:
        return f"relative to the lowest; {vacancy.ground_state.kind}"
    return f"{in_ev(vacancy.energy_lowering)}; {vacancy.ground_state.kind}"


def _short(text: str, longest: int) -> str:
    """Shorten a text, without characters that XML has not, that break lines, or that change the direction of writing."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
