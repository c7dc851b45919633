"""The report of a search that somebody else has run and finished: no force field, no Prefect, no executable."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from pymatgen.core import Structure

from defect_surrogate.crystal_files import check_crystal, read_crystal
from defect_surrogate.finished_search import FailedFolder, FinishedSearch, read_finished_searches
from defect_surrogate.hosts import Host
from defect_surrogate.relaxation import structure_digest
from defect_surrogate.reports.build import minimum_structures, vacancy_report
from defect_surrogate.reports.campaign import campaign_report, host_report, library_versions
from defect_surrogate.reports.files import write_report_files
from defect_surrogate.reports.page import write_page
from defect_surrogate.reports.schema import CampaignReport, FailureReport, VacancyReport
from defect_surrogate.settings import MinimaSettings


def analyse(tree: Path, *, bulk: Path, out: Path | None, settings: MinimaSettings) -> CampaignReport:
    """Find minima and reconstructions in a tree of ShakeNBreak folders.

    Parameters
    ----------
    tree
        A defect folder, or a folder of defect folders.
    bulk
        File of the host's supercell without defect.
    out
        Folder for the report; not written when None.
    settings
        When two structures are one minimum.

    Returns
    -------
    CampaignReport
        Folders that could not be used are among its failures.

    Raises
    ------
    FolderError
        If nothing in the tree can be used.
    HostError
        If the bulk cannot be read.
    """
    structure, source = read_crystal(bulk)
    check_crystal(structure, source)
    structure.remove_oxidation_states()
    finished = read_finished_searches(tree, bulk=structure)
    labels = Counter(one.defect.label for one in finished.searches)
    searches = [_told_apart(one) if labels[one.defect.label] > 1 else one for one in finished.searches]
    name = structure.composition.reduced_formula
    host = Host(name, structure, structure, {}, source, structure_digest(structure))
    reports = [_vacancy_report(one, host, settings) for one in searches]
    failures = [FailureReport(f"{name}/{one.label}", one.error, one.message) for one in finished.failures]
    report = campaign_report(
        [host_report(host, vacancies=reports, failures=failures)],
        settings=None,
        minima=settings,
        versions=library_versions(),
        created=datetime.now(UTC),
    )
    if out is not None:
        structures: dict[str, Structure] = {}
        for one, vacancy in zip(searches, reports, strict=True):
            structures |= minimum_structures(vacancy, surrogate=None, reference=one.relaxations)
        write_report_files(report, out, structures=structures)
        write_page(report, out, structures=structures)
    return report


def _told_apart(search: FinishedSearch) -> FinishedSearch:
    """Name a defect after its folder, where the tree has several inequivalent ones of the same kind."""
    name = search.name.removesuffix(f"_{search.defect.charge}").removesuffix(f"_+{search.defect.charge}")
    return dataclasses.replace(search, defect=dataclasses.replace(search.defect, name=name))


def _vacancy_report(search: FinishedSearch, host: Host, settings: MinimaSettings) -> VacancyReport:
    label = search.defect.label
    return vacancy_report(
        search.defect,
        sampling_structures=len(search.relaxations) + len(search.failures),
        surrogate=None,
        reference=search.relaxations,
        failures=[_failure(one, f"{host.name}/{label}") for one in search.failures],
        oxidation_states=None,
        settings=settings,
    )


def _failure(failed: FailedFolder, where: str) -> FailureReport:
    return FailureReport(f"{where}/{failed.label}/reference", failed.error, failed.message)
