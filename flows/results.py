"""From a search, finished or not, to the files of its run folder."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from pymatgen.core import Structure

from defect_surrogate.archive import Archive, reindex
from defect_surrogate.relaxation import Unit
from defect_surrogate.reports.build import minimum_structures, vacancy_report
from defect_surrogate.reports.campaign import campaign_report, host_report, library_versions
from defect_surrogate.reports.files import write_report_files
from defect_surrogate.reports.page import write_page
from defect_surrogate.reports.schema import CampaignReport, FailureReport, VacancyReport
from defect_surrogate.settings import SearchSettings
from defect_surrogate.shakenbreak_folders import write_relaxed
from flows.run_folder import RunFolder
from flows.search import HostSearch, VacancySearch


def write_results(run: RunFolder, search: HostSearch) -> CampaignReport:
    """Write report, table, page, minima, and relaxed structures in ShakeNBreak's layout.

    Parameters
    ----------
    run
        Where to.
    search
        What was searched and found so far.

    Returns
    -------
    CampaignReport
        The content of ``campaign.json``.
    """
    settings = run.settings
    reports = [_vacancy_report(one, search, run.archive, settings) for one in search.vacancies]
    host = host_report(
        search.host,
        vacancies=reports,
        relaxation=search.relaxation,
        relaxation_key=None if search.unit is None else search.unit.key,
        failures=() if search.unit is None else failures_of([search.unit], run.archive),
    )
    report = campaign_report(
        [host], settings=settings, minima=settings.minima, versions=library_versions(), created=datetime.now(UTC)
    )
    structures: dict[str, Structure] = {}
    for one, vacancy in zip(search.vacancies, reports, strict=True):
        surrogate, reference = one.by_label("surrogate"), one.by_label("reference")
        structures |= minimum_structures(vacancy, surrogate=surrogate, reference=reference)
        _write_relaxed(one, run)
    write_report_files(report, run.path, structures=structures)
    write_page(report, run.path, structures=structures)
    reindex(run.archive)
    return report


def failures_of(units: Sequence[Unit], archive: Archive) -> tuple[FailureReport, ...]:
    """Report the units whose last attempt broke.

    Parameters
    ----------
    units
        Units of a search.
    archive
        Where failures are noted.

    Returns
    -------
    tuple of FailureReport
        In the order of ``units``.
    """
    failures = (archive.failure(unit) for unit in units)
    return tuple(FailureReport(one.name, one.error, one.message) for one in failures if one is not None)


def failure_count(report: CampaignReport) -> int:
    """Count the units without a result.

    Parameters
    ----------
    report
        Of a run.

    Returns
    -------
    int
        Those of hosts and of vacancies.
    """
    return sum(len(host.failures) + sum(len(v.failures) for v in host.vacancies) for host in report.hosts)


def _vacancy_report(
    one: VacancySearch, search: HostSearch, archive: Archive, settings: SearchSettings
) -> VacancyReport:
    units = one.surrogate + one.reference
    return vacancy_report(
        one.sampling.structures[0].vacancy,
        sampling_structures=len(one.sampling.structures),
        dropped=one.sampling.dropped,
        surrogate=one.by_label("surrogate"),
        reference=one.by_label("reference"),
        full_reference=settings.full_reference,
        failures=failures_of(units, archive),
        keys={(unit.level, unit.label): unit.key for unit in units},
        oxidation_states=search.host.oxidation_states,
        settings=settings.minima,
    )


def _write_relaxed(one: VacancySearch, run: RunFolder) -> None:
    for unit in one.surrogate + one.reference:
        relaxation = one.relaxations.get(unit.name)
        if relaxation is None or not math.isfinite(relaxation.energy):
            continue
        root = run.structures / unit.host / unit.level
        folder = root / unit.defect / unit.label
        folder.mkdir(parents=True, exist_ok=True)
        unit.structure.to(str(folder / "POSCAR"), fmt="poscar")
        write_relaxed(relaxation, root=root, defect=unit.defect, label=unit.label)
