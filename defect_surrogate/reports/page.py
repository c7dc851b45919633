"""One self-contained page for people: summary, tables, energy against distortion, rotatable views of the ground states.

Figures are drawn when scrolled to, and views taken down again when out of sight, because a
browser allows about sixteen of them at a time.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Structure

from defect_surrogate.metrics import HIT_TOLERANCE
from defect_surrogate.reconstruction import BOND_TOLERANCE
from defect_surrogate.reports.figures import HIGHEST_SHOWN, energy_figure
from defect_surrogate.reports.files import replace_file
from defect_surrogate.reports.host_statements import host_statements, nothing_searched
from defect_surrogate.reports.html import Figure, figure_of, render
from defect_surrogate.reports.schema import CampaignReport, HostReport, MinimumReport, VacancyReport
from defect_surrogate.reports.site_view import site_figure
from defect_surrogate.reports.statements import FAILURES_SHOWN, Statement, in_ev, vacancy_statements
from defect_surrogate.reports.summary import table_rows

PAGE_FILE = "report.html"


@dataclass(frozen=True)
class _MinimaTable:
    """Distinct minima of one list, under a heading."""

    title: str
    minima: tuple[MinimumReport, ...]


@dataclass(frozen=True)
class _VacancyView:
    """What the template shows of a vacancy."""

    report: VacancyReport
    statements: tuple[Statement, ...]
    verdict: Statement
    tables: tuple[_MinimaTable, ...]
    plot: Figure | None
    views: tuple[Figure, ...]


@dataclass(frozen=True)
class _HostView:
    """What the template shows of a host."""

    report: HostReport
    statements: tuple[Statement, ...]
    vacancies: tuple[_VacancyView, ...]


def write_page(campaign: CampaignReport, folder: Path, *, structures: Mapping[str, Structure]) -> Path:
    """Write ``report.html``.

    Parameters
    ----------
    campaign
        The report.
    folder
        Run folder; made when missing.
    structures
        Structure by path relative to ``folder``, from ``minimum_structures`` or ``read_structures``.

    Returns
    -------
    Path
        The page.
    """
    path = folder / PAGE_FILE
    replace_file(path, render_page(campaign, structures=structures))
    return path


def render_page(campaign: CampaignReport, *, structures: Mapping[str, Structure]) -> str:
    """Render the page.

    Parameters
    ----------
    campaign
        The report.
    structures
        Structure by path, for each minimum to be shown; one that is missing is left out.

    Returns
    -------
    str
        HTML, about 5 MB, most of it plotly.
    """
    return render(
        "page.html",
        name=", ".join(host.name for host in campaign.hosts) or "no host",
        created=campaign.created,
        versions=campaign.versions,
        campaign=campaign,
        hosts=[_host_view(host, structures) for host in campaign.hosts],
        rows=table_rows(campaign),
        nothing_searched=nothing_searched(campaign),
        settings=None
        if campaign.settings is None
        else json.dumps(campaign.settings, indent=2, sort_keys=True, ensure_ascii=False),
        hit_tolerance=HIT_TOLERANCE,
        bond_tolerance=BOND_TOLERANCE,
        highest_shown=HIGHEST_SHOWN,
        failures_shown=FAILURES_SHOWN,
    )


def _host_view(host: HostReport, structures: Mapping[str, Structure]) -> _HostView:
    return _HostView(
        report=host,
        statements=host_statements(host),
        vacancies=tuple(_vacancy_view(vacancy, host, structures) for vacancy in host.vacancies),
    )


def _vacancy_view(vacancy: VacancyReport, host: HostReport, structures: Mapping[str, Structure]) -> _VacancyView:
    tables = (
        _MinimaTable(
            "Reference level" if vacancy.surrogate_minima is None else "Reference level, surrogate + reference",
            vacancy.minima or (),
        ),
        _MinimaTable("Reference level, full reference search", vacancy.full_reference_minima or ()),
        _MinimaTable("Surrogate level", vacancy.surrogate_minima or ()),
    )
    return _VacancyView(
        report=vacancy,
        statements=vacancy_statements(vacancy, host=host),
        verdict=_verdict(vacancy),
        tables=tuple(table for table in tables if table.minima),
        plot=figure_of(
            "Energy against distortion",
            f"Relaxed energies of {host.name} {vacancy.name} by the bond distortion of the start; as text in the table "
            "of all relaxations",
            energy_figure(vacancy),
        )
        if vacancy.relaxations
        else None,
        views=_views(vacancy, structures),
    )


def _verdict(vacancy: VacancyReport) -> Statement:
    if vacancy.ground_state is None and vacancy.surrogate_minima and not vacancy.reference_relaxations:
        return Statement("searched", "surrogate alone")
    if vacancy.ground_state is None:
        return Statement("warning", "no result yet" if vacancy.unfinished else "no result")
    if vacancy.comparison is not None and vacancy.comparison.hit is False:
        return Statement("missed", "ground state missed")
    so_far = ", search unfinished" if vacancy.unfinished else ""
    if vacancy.energy_lowering is not None and vacancy.energy_lowering < -HIT_TOLERANCE:
        return Statement("found", f"reconstructs, {in_ev(vacancy.energy_lowering)}{so_far}")
    verdict = "no reconstruction found" if vacancy.energy_lowering is not None else "searched"
    return Statement("searched", f"{verdict}{so_far}")


def _views(vacancy: VacancyReport, structures: Mapping[str, Structure]) -> tuple[Figure, ...]:
    """View the ground state, the one of the full reference search where it was missed, and ``Unperturbed``."""
    ground, comparison = vacancy.ground_state, vacancy.comparison
    chosen: list[tuple[str, MinimumReport, str]] = []
    if comparison is not None and comparison.hit is False and vacancy.full_reference_minima:
        chosen.append(("Missed: ground state of the full search", *_with_file(vacancy.full_reference_minima[0])))
    if ground is not None:
        chosen.append(("Lowest of surrogate + reference" if chosen else "Ground state", *_with_file(ground)))
    basin = next((one for one in vacancy.minima or () if "Unperturbed" in one.labels), None)
    if basin is not None and basin != ground and vacancy.unperturbed_file is not None:
        chosen.append(("Unperturbed, relaxed", basin, vacancy.unperturbed_file))
    return tuple(
        figure_of(
            f"{title}: {minimum.motif}",
            f"Rotatable view of the atoms around the vacant site, from {path}",
            site_figure(structures[path], site=vacancy.site, bonds=minimum.bonds),
        )
        for title, minimum, path in chosen
        if path in structures
    )


def _with_file(minimum: MinimumReport) -> tuple[MinimumReport, str]:
    return minimum, minimum.structure_file
