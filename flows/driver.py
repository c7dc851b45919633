"""What the command line does with a run: search it, look at it, plan it."""

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from defect_surrogate.alloys.settings import SweepSettings
from defect_surrogate.crystal_files import check_crystal, read_crystal
from defect_surrogate.errors import InputError
from defect_surrogate.reports.alloy_schema import AlloyReport
from defect_surrogate.reports.schema import CampaignReport
from defect_surrogate.settings import SearchSettings
from flows.lock import locked
from flows.run_folder import open_run
from flows.work_folder import WorkFolder

if TYPE_CHECKING:
    from flows.service import Server

logger = logging.getLogger(__name__)

PREFECT_VARIABLES = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # our own lines say it; the server has Prefect's
    "PREFECT_LOGGING_EXTRA_LOGGERS": "defect_surrogate,tasks,flows",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}
"""Read by Prefect at its import, here and in the workers."""


@dataclass(frozen=True)
class Count:
    """Units of one defect at one level.

    Attributes
    ----------
    defect
        ``host/defect``.
    level
        Level of theory.
    total, finished, failed, running
        How many; failed ones have no result, and the last attempt broke.
    """

    defect: str
    level: str
    total: int
    finished: int
    failed: int
    running: int


def run_search(source: str, out: Path, settings: SearchSettings) -> CampaignReport:
    """Search a host in a run folder, with the Prefect server there is or one of its own.

    Parameters
    ----------
    source
        Path of the host's file, or a Materials Project id.
    out
        Folder of the run.
    settings
        Of the search.

    Returns
    -------
    CampaignReport
        Also written into the folder.

    Raises
    ------
    DefectSurrogateError
        If the search cannot be done at all.
    """
    with served(out, settings.workers.cluster) as server:
        check_crystal(*read_crystal(source))
        from flows.cancel import cancellation_told  # noqa: PLC0415
        from flows.search_host import search_host  # noqa: PLC0415  (takes seconds, in which the server starts)

        with server.ready(), cancellation_told():
            return search_host(source, str(out), settings)


def run_sweep(out: Path, settings: SweepSettings) -> AlloyReport:
    """Search an alloy at all its compositions in a folder, with the Prefect server there is or one of its own.

    Parameters
    ----------
    out
        Folder of the sweep.
    settings
        Of the sweep.

    Returns
    -------
    AlloyReport
        Also written into the folder.

    Raises
    ------
    DefectSurrogateError
        If the sweep cannot be done at all.
    """
    with served(out, settings.workers.cluster) as server:
        for path in settings.alloy.end_members:
            check_crystal(*read_crystal(path))
        from flows.cancel import cancellation_told  # noqa: PLC0415
        from flows.sweep_alloy import sweep_alloy  # noqa: PLC0415  (takes seconds, in which the server starts)

        with server.ready(), cancellation_told():
            return sweep_alloy(str(out), settings)


@contextlib.contextmanager
def served(folder: Path, cluster: str | None = None) -> Iterator["Server"]:
    """Give flows a Prefect server: the one there is, or one whose database is in a folder, which starts meanwhile.

    Parameters
    ----------
    folder
        Where the flow works; made when missing.
    cluster
        Profile or folder of the cluster whose nodes have to reach the server; this machine alone when None.

    Yields
    ------
    Server
        Its ``ready`` has to be entered before a flow is called.

    Raises
    ------
    InputError
        If it is a file, cannot be written, or another process works in it.
    """
    for name, value in PREFECT_VARIABLES.items():
        os.environ.setdefault(name, value)
    check_folder(folder)
    with locked(folder):  # held by the flow itself; asked for here before a second server starts on one database
        pass
    from flows.cluster.choice import address_for  # noqa: PLC0415
    from flows.service import prefect_server  # noqa: PLC0415  (Prefect reads the environment at import)

    with prefect_server(folder / "prefect", address_for(cluster)) as server:
        yield server


def check_folder(out: Path) -> None:
    """Refuse a path that cannot be the folder of a run.

    Parameters
    ----------
    out
        The path.

    Raises
    ------
    InputError
        If it is a file, or cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be the folder of a run: {error}") from error
    if not os.access(out, os.W_OK):
        raise InputError(f"{out}: cannot be written")


def rebuild_report(path: Path) -> CampaignReport:
    """Make the report of a run anew from its archive.

    Parameters
    ----------
    path
        Folder of the run.

    Returns
    -------
    CampaignReport
        Of what the archive holds.
    """
    from flows.results import add_to_index, write_results  # noqa: PLC0415
    from flows.search import archived_search  # noqa: PLC0415  (seconds to import)

    run = open_run(path)
    report = write_results(run, [archived_search(run)])
    add_to_index(run.archive)
    return report


def rebuild_sweep(path: Path) -> AlloyReport:
    """Make the reports of a sweep anew from its archive.

    Parameters
    ----------
    path
        Folder of the sweep.

    Returns
    -------
    AlloyReport
        Of what the archive holds.
    """
    from flows.alloy_search import search_alloy  # noqa: PLC0415
    from flows.results import add_to_index  # noqa: PLC0415
    from flows.sweep_folder import open_sweep  # noqa: PLC0415
    from flows.sweep_plan import plan_sweep  # noqa: PLC0415
    from flows.sweep_results import write_composition, write_sweep  # noqa: PLC0415
    from flows.work import looked_up  # noqa: PLC0415

    folder = open_sweep(path)
    plan = plan_sweep(folder.settings)
    look_up = looked_up(folder.archive)
    lost = {}
    for composition in plan.compositions:
        try:
            found = search_alloy(
                composition,
                plan,
                folder.settings,
                relax_surrogate=look_up,
                relax_reference=look_up,
                cache=folder.sampling,
            )
            write_composition(folder.composition(composition.name), found)
        except Exception as error:
            lost[composition.name] = f"{type(error).__name__}: {error}"
    report = write_sweep(folder, plan, lost=lost)
    add_to_index(folder.archive)
    return report


def count_units(folder: WorkFolder) -> tuple[Count, ...]:
    """Count what is finished, failed and running, by defect and level.

    Parameters
    ----------
    folder
        Of a search, or of ``build-dataset``.

    Returns
    -------
    tuple of Count
        In the order of the work; without the units that are not known yet, such as those of surrogate minima.
    """
    archive, units = folder.archive, folder.units()
    failed = {(failure.name, failure.key) for failure in archive.failures()}
    running = {(note["unit"], note["key"]) for note in archive.running()}
    groups: dict[tuple[str, str], Counter[str]] = {}
    for name, key in units.items():
        host, defect, _, level = name.split("/")
        count = groups.setdefault((f"{host}/{defect}", level), Counter())
        finished = archive.has(name, key)
        count.update(
            total=1,
            finished=int(finished),
            failed=int(not finished and (name, key) in failed),
            running=int(not finished and (name, key) in running),
        )
    return tuple(
        Count(defect, level, count["total"], count["finished"], count["failed"], count["running"])
        for (defect, level), count in groups.items()
    )
