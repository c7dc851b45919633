"""What the page of a run shows, besides its files: the report in words, vacancies, minima, failures."""

from dataclasses import dataclass

from defect_surrogate.report_server.catalogue import Run
from defect_surrogate.report_server.vacancies import VacancyRow, vacancy_rows
from defect_surrogate.reports.alloy_schema import AlloyReport
from defect_surrogate.reports.host_statements import host_statements, nothing_searched
from defect_surrogate.reports.schema import CampaignReport, FailureReport, HostReport, MinimumReport, VacancyReport
from defect_surrogate.reports.statements import Statement, vacancy_statements


@dataclass(frozen=True)
class VacancyView:
    """What the page shows of a vacancy.

    Attributes
    ----------
    row
        As in the table.
    statements
        In words.
    minima
        Pairs of a heading and distinct minima, for each list that there is.
    """

    row: VacancyRow
    statements: tuple[Statement, ...]
    minima: tuple[tuple[str, tuple[MinimumReport, ...]], ...]


@dataclass(frozen=True)
class HostView:
    """What the page shows of a host.

    Attributes
    ----------
    name
        Its name.
    statements
        In words.
    vacancies
        One view each.
    failures
        Units that broke, its own before those of its vacancies.
    """

    name: str
    statements: tuple[Statement, ...]
    vacancies: tuple[VacancyView, ...]
    failures: tuple[FailureReport, ...]


def search_content(run: Run, report: CampaignReport) -> dict[str, object]:
    """Gather what is shown of a search.

    Parameters
    ----------
    run
        The search.
    report
        Its report.

    Returns
    -------
    dict of str to object
        For the template ``search.html``.
    """
    rows = iter(vacancy_rows(report, run=run.names, campaign=run.campaign))
    return {
        "created": report.created,
        "nothing": nothing_searched(report),
        "hosts": [_host_view(host, [next(rows) for _ in host.vacancies]) for host in report.hosts],
    }


def sweep_content(report: AlloyReport, compositions: list[Run]) -> dict[str, object]:
    """Gather what is shown of a sweep.

    Parameters
    ----------
    report
        Of the sweep.
    compositions
        The searches of its compositions.

    Returns
    -------
    dict of str to object
        For the template ``sweep.html``.
    """
    # Of the reports' modules this one alone draws; plotly, doped and ShakeNBreak come with it: two seconds, 250 MB.
    from defect_surrogate.reports.alloy_page import alloy_statements  # noqa: PLC0415

    return {
        "created": report.created,
        "statements": alloy_statements(report),
        "compositions": compositions,
    }


def _host_view(host: HostReport, rows: list[VacancyRow]) -> HostView:
    return HostView(
        name=host.name,
        statements=host_statements(host),
        vacancies=tuple(
            VacancyView(row, vacancy_statements(vacancy, host=host), _minima(vacancy))
            for row, vacancy in zip(rows, host.vacancies, strict=True)
        ),
        failures=(*host.failures, *(failure for vacancy in host.vacancies for failure in vacancy.failures)),
    )


def _minima(vacancy: VacancyReport) -> tuple[tuple[str, tuple[MinimumReport, ...]], ...]:
    lists = (
        ("reference level", vacancy.minima),
        ("reference level, full reference search", vacancy.full_reference_minima),
        ("surrogate level", vacancy.surrogate_minima),
    )
    return tuple((heading, minima) for heading, minima in lists if minima)
