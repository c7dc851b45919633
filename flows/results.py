"""From a search, finished or not, to the files of its run folder."""

import logging
import math
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pymatgen.core import Structure

from defect_surrogate.archive import Archive, update_index
from defect_surrogate.errors import ArchiveError, ServiceError
from defect_surrogate.relaxation import Level, Unit
from defect_surrogate.reports.build import minimum_structures, vacancy_report
from defect_surrogate.reports.campaign import campaign_report, host_report
from defect_surrogate.reports.files import write_report_files
from defect_surrogate.reports.overview import write_overview
from defect_surrogate.reports.page import write_page
from defect_surrogate.reports.schema import CampaignReport, FailureReport, VacancyReport
from defect_surrogate.reports.versions import library_versions
from defect_surrogate.settings import SearchSettings
from defect_surrogate.shakenbreak_folders import distortion_folders, write_relaxed
from flows.run_folder import RunFolder
from flows.searched import HostSearch, VacancySearch

logger = logging.getLogger(__name__)


def write_results(run: RunFolder, searches: Sequence[HostSearch]) -> CampaignReport:
    """Write report, table, page, minima, and relaxed structures in ShakeNBreak's layout.

    Parameters
    ----------
    run
        Where to.
    searches
        What was searched and found so far, host by host.

    Returns
    -------
    CampaignReport
        The content of ``campaign.json``.
    """
    settings = run.settings
    hosts, structures = [], dict[str, Structure]()
    for search in searches:
        reports = [_vacancy_report(one, search, run.archive, settings) for one in search.vacancies]
        own = () if search.unit is None else (search.unit,)
        found = () if search.relaxation is None else [unit.name for unit in own]
        hosts.append(
            host_report(
                search.host,
                vacancies=reports,
                relaxation=search.relaxation,
                relaxation_key=None if search.unit is None else search.unit.key,
                cell=search.cell,
                failures=failures_of(own, run.archive),
                unfinished=len(_unfinished(own, found, run.archive)),
            )
        )
        for one, vacancy in zip(search.vacancies, reports, strict=True):
            surrogate, reference = one.by_label("surrogate"), one.by_label("reference")
            structures |= minimum_structures(vacancy, surrogate=surrogate, reference=reference)
            _write_relaxed(one, run)
    report = campaign_report(
        hosts, settings=settings, minima=settings.minima, versions=library_versions(), created=datetime.now(UTC)
    )
    write_report_files(report, run.path, structures=structures)
    write_page(report, run.path, structures=structures)
    write_overview(report, run.path)
    return report


def add_to_index(archive: Archive) -> None:
    """Add finished units to the index, which is a view: if its database does not answer, the next search adds them."""
    try:
        update_index(archive)
    except (ServiceError, ArchiveError, OSError) as error:
        logger.warning("not all units are in the index: %s", error)


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
    """Count the units that broke.

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


def unfinished_count(report: CampaignReport) -> int:
    """Count the planned units that have no result yet and have not broken.

    Parameters
    ----------
    report
        Of a run.

    Returns
    -------
    int
        Those of hosts and of vacancies, as far as they are known: what is relaxed after them is not.
    """
    return sum(host.unfinished + sum(v.unfinished for v in host.vacancies) for host in report.hosts)


def _vacancy_report(
    one: VacancySearch, search: HostSearch, archive: Archive, settings: SearchSettings
) -> VacancyReport:
    units = one.surrogate + one.reference
    return vacancy_report(
        one.vacancy,
        sampling_structures=one.standard,
        surrogate_structures=len(one.sampling.structures),
        dropped=one.sampling.dropped,
        duplicates=one.sampling.duplicates,
        surrogate=one.by_label("surrogate"),
        reference=one.by_label("reference"),
        planned=one.planned,
        full_reference=settings.full_reference,
        surrogate_only=not one.reference,
        failures=failures_of(units, archive),
        unfinished=len(_unfinished(units, one.relaxations, archive)),
        keys={(unit.level, unit.label): unit.key for unit in units},
        oxidation_states=search.host.oxidation_states,
        settings=settings.minima,
    )


def _unfinished(units: Sequence[Unit], finished: Collection[str], archive: Archive) -> list[Unit]:
    return [unit for unit in units if unit.name not in finished and archive.failure(unit) is None]


def _write_relaxed(one: VacancySearch, run: RunFolder) -> None:
    """Write the relaxed structures and energies of this search, and remove those of an earlier one in this folder."""
    vacancy = one.vacancy
    levels: tuple[tuple[Level, tuple[Unit, ...]], ...] = (("surrogate", one.surrogate), ("reference", one.reference))
    for level, units in levels:
        root = run.structures / vacancy.host / level
        folder = root / vacancy.label
        folder.mkdir(parents=True, exist_ok=True)
        _remove_earlier(folder, labels={unit.label for unit in units})
        (folder / f"{vacancy.label}.yaml").unlink(missing_ok=True)
        for unit in units:
            start = folder / unit.label
            start.mkdir(exist_ok=True)
            unit.structure.to(str(start / "POSCAR"), fmt="poscar")
            relaxation = one.relaxations.get(unit.name)
            if relaxation is None or not relaxation.rankable or not math.isfinite(relaxation.energy):
                (start / "CONTCAR").unlink(missing_ok=True)
                continue
            write_relaxed(relaxation, root=root, defect=vacancy.label, label=unit.label)


def _remove_earlier(folder: Path, *, labels: Collection[str]) -> None:
    """Remove starts and relaxed structures with other labels; what else lies in their folders stays."""
    for path in distortion_folders(folder):
        if path.name in labels or path.is_symlink():
            continue
        for name in ("POSCAR", "CONTCAR"):
            (path / name).unlink(missing_ok=True)
        if not any(path.iterdir()):
            path.rmdir()
