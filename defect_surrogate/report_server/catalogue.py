"""What runs there are below the served folder: searches and sweeps, the hosts of campaigns among them.

Of a report only what lists show is kept, until the file changes.
"""

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from defect_surrogate.errors import ReportError
from defect_surrogate.metrics import HIT_TOLERANCE
from defect_surrogate.report_server.access import ALLOY_FILE
from defect_surrogate.report_server.run_folders import NOTES, campaign_of, run_folders, run_marker
from defect_surrogate.report_server.vacancies import VacancyRow, vacancy_rows
from defect_surrogate.reports.alloy_schema import AlloyReport
from defect_surrogate.reports.files import read_alloy, read_campaign
from defect_surrogate.reports.schema import CampaignReport

logger = logging.getLogger(__name__)

_COMPOSITIONS = "compositions"
_STAND_IN = "vasp-xtb"


@dataclass(frozen=True)
class Summary:
    """What lists show of a report.

    Attributes
    ----------
    hosts
        Names of the hosts; of a sweep the name of the alloy.
    levels
        Levels of theory of the reference.
    is_stand_in
        Whether one of these is ``vasp-xtb``, which stands in for VASP.
    vacancies
        Number of vacancies searched.
    reconstructed
        Number of these whose ground state lies lower than the relaxed ``Unperturbed``, at the reference level.
    failures
        Number of units that broke, and of compositions that were lost.
    unfinished
        Number of planned units without a result.
    rows
        Vacancies of a search; none of a sweep, whose compositions are searches.
    """

    hosts: tuple[str, ...]
    levels: tuple[str, ...]
    is_stand_in: bool
    vacancies: int
    reconstructed: int
    failures: int
    unfinished: int
    rows: tuple[VacancyRow, ...] = ()


@dataclass(frozen=True)
class Run:
    """A search or a sweep.

    Attributes
    ----------
    names
        Names of the folders from the served one to that of the run.
    report
        Name of the file of its report.
    changed
        When that, or without one its note, was changed, s since 1970.
    summary
        What its report holds; None without a report that can be read.
    fault
        What is wrong with the report; empty where nothing is, or where there is none yet.
    """

    names: tuple[str, ...]
    report: str
    changed: float
    summary: Summary | None
    fault: str

    @property
    def path(self) -> str:
        """Path below the served folder."""
        return "/".join(self.names) or "."

    @property
    def kind(self) -> Literal["search", "sweep"]:
        """Whether it is the search of a host or the sweep of an alloy."""
        return "sweep" if self.report == ALLOY_FILE else "search"

    @property
    def campaign(self) -> str | None:
        """Name of the campaign that it is a host of, from its folder ``campaigns/NAME/hosts/HOST``; None for others."""
        return campaign_of(self.names)

    @property
    def sweep(self) -> tuple[str, ...] | None:
        """Folder of the sweep that it is a composition of, if it lies where one does."""
        return self.names[:-2] if self.names[-2:-1] == (_COMPOSITIONS,) else None


class Catalogue:
    """The runs below a folder.

    Parameters
    ----------
    root
        The folder, resolved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._read: dict[tuple[str, ...], tuple[tuple[str, int, int], Run]] = {}

    def runs(self) -> list[Run]:
        """List all runs, the newest report first."""
        with self._lock:
            found = [run for names, marker in run_folders(self.root) if (run := self._run(names, marker)) is not None]
            self._read = {run.names: self._read[run.names] for run in found}
        return sorted(found, key=lambda run: (-run.changed, run.names))

    def find(self, names: tuple[str, ...]) -> Run | None:
        """Return the run of a folder, without looking at others.

        Parameters
        ----------
        names
            Names of the folders from the served one to it.

        Returns
        -------
        Run or None
            None if no run lies there.
        """
        marker = run_marker(self.root, names)
        if marker is None:
            return None
        with self._lock:
            return self._run(names, marker)

    def _run(self, names: tuple[str, ...], marker: os.DirEntry[str]) -> Run | None:
        try:
            status = marker.stat(follow_symlinks=False)
        except OSError:  # removed meanwhile
            return None
        state = (marker.name, status.st_mtime_ns, status.st_size)
        if names not in self._read or self._read[names][0] != state:
            self._read[names] = (state, self._made(names, marker.name, status.st_mtime))
        return self._read[names][1]

    def _made(self, names: tuple[str, ...], marker: str, changed: float) -> Run:
        if marker in NOTES:
            return Run(names, NOTES[marker], changed, None, "")
        path = self.root.joinpath(*names, marker)
        try:
            is_sweep = marker == ALLOY_FILE
            summary = _sweep_summary(read_alloy(path)) if is_sweep else _search_summary(read_campaign(path), names)
        except ReportError as error:
            logger.warning("%s", error)
            return Run(names, marker, changed, None, str(error).replace(f"{self.root}{os.sep}", ""))
        return Run(names, marker, changed, summary, "")


def _search_summary(report: CampaignReport, names: tuple[str, ...]) -> Summary:
    rows = vacancy_rows(report, run=names, campaign=campaign_of(names))
    return Summary(
        hosts=tuple(host.name for host in report.hosts),
        levels=tuple(sorted({host.reference for host in report.hosts if host.reference})),
        is_stand_in=any(host.reference_is_stand_in for host in report.hosts),
        vacancies=len(rows),
        reconstructed=sum(row.reconstructs for row in rows),
        failures=sum(len(host.failures) for host in report.hosts) + sum(row.failures for row in rows),
        unfinished=sum(host.unfinished for host in report.hosts) + sum(row.unfinished for row in rows),
        rows=rows,
    )


def _sweep_summary(report: AlloyReport) -> Summary:
    rows = report.rows
    lowerings = [row.energy_lowering for row in rows if row.level == "reference" and row.energy_lowering is not None]
    return Summary(
        hosts=(report.name,),
        levels=(report.reference,) if report.reference else (),
        is_stand_in=_STAND_IN in (report.reference or ""),
        vacancies=len(rows),
        reconstructed=sum(lowering < -HIT_TOLERANCE for lowering in lowerings),
        failures=sum(row.failures for row in rows) + len(report.lost),
        unfinished=sum(row.unfinished for row in rows) + sum(one.unfinished for one in report.compositions),
    )
