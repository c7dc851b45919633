"""The report of a search that somebody else has run and finished: no force field, no Prefect, no executable."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pymatgen.core import Structure

from defect_surrogate.crystal_files import check_crystal, read_crystal
from defect_surrogate.errors import InputError
from defect_surrogate.finished_search import FailedFolder, FinishedSearch, read_finished_searches
from defect_surrogate.hosts import Host, guess_oxidation_states
from defect_surrogate.relaxation import structure_digest
from defect_surrogate.reports.build import minimum_structures, vacancy_report
from defect_surrogate.reports.campaign import campaign_report, host_report
from defect_surrogate.reports.files import write_report_files
from defect_surrogate.reports.page import write_page
from defect_surrogate.reports.schema import CampaignReport, FailureReport, VacancyReport
from defect_surrogate.reports.versions import library_versions
from defect_surrogate.settings import MinimaSettings
from flows.driver import check_folder


def analyse(tree: Path, *, bulk: Path, out: Path | None, settings: MinimaSettings) -> CampaignReport:
    """Find minima and reconstructions in a tree of ShakeNBreak folders.

    Parameters
    ----------
    tree
        A defect folder, or a folder of defect folders.
    bulk
        File of the host's supercell without defect.
    out
        Folder for the report, made when missing; not written when None.
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
    InputError
        If ``out`` is the folder of a search, is a file, or cannot be written.
    """
    if out is not None:
        _check_out(out)
    structure, source = read_crystal(bulk)
    check_crystal(structure, source)
    oxidation_states = guess_oxidation_states(structure.get_primitive_structure())  # seconds for a supercell
    structure.remove_oxidation_states()
    finished = read_finished_searches(tree, bulk=structure)
    searches = _told_apart(finished.searches)
    name = structure.composition.reduced_formula
    host = Host(name, structure, structure, oxidation_states, source, structure_digest(structure))
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


def _check_out(out: Path) -> None:
    if (out / "run.json").exists():
        raise InputError(f"{out}: is the folder of a search, whose report would be overwritten")
    check_folder(out)


def _told_apart(searches: Sequence[FinishedSearch]) -> list[FinishedSearch]:
    """Give each defect a label of its own.

    Where the tree has several of the same kind, at inequivalent sites or at two levels of theory say, each is named after its
    energies file or folder; what still has one label is numbered.
    """
    labels = Counter(one.defect.label for one in searches)
    named: dict[str, FinishedSearch] = {}
    for one in searches:
        charge = one.defect.charge
        name = one.defect.name
        if labels[one.defect.label] > 1:
            name = one.name.removesuffix(f"_{charge}").removesuffix(f"_+{charge}")
        defect = dataclasses.replace(one.defect, name=name)
        number = 1
        while defect.label in named:
            number += 1
            defect = dataclasses.replace(defect, name=f"{name}_{number}")
        named[defect.label] = dataclasses.replace(one, defect=defect)
    return list(named.values())


def _vacancy_report(search: FinishedSearch, host: Host, settings: MinimaSettings) -> VacancyReport:
    label = search.defect.label
    return vacancy_report(
        search.defect,
        sampling_structures=len(search.relaxations) + len(search.failures),
        surrogate=None,
        reference=search.relaxations,
        failures=[_failure(one, f"{host.name}/{label}") for one in search.failures],
        oxidation_states=host.oxidation_states or None,
        settings=settings,
    )


def _failure(failed: FailedFolder, where: str) -> FailureReport:
    return FailureReport(f"{where}/{failed.label}/reference", failed.error, failed.message)
