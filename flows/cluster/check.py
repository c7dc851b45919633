"""Whether a cluster's profile works: its job scripts, and what a worker of each class finds where it runs."""

import logging
import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from defect_surrogate.errors import ServiceError
from flows.cluster.connection import Cluster
from flows.cluster.jobs import Place, batch_job
from flows.cluster.look_around import WorkerReport, look_around
from flows.cluster.profile import ClusterProfile, Level

logger = logging.getLogger(__name__)

LOOKS, LOOK_SECONDS = 3, 300.0
"""Workers that are asked to look around, and the longest wait for each (our choice)."""

LEVELS: tuple[Level, ...] = ("surrogate", "reference")
SCHEDULER = "tls://CAMPAIGN:PORT"
"""Stands in a script that is shown for the address that is known when a campaign starts."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    subject
        What.
    ok
        Whether it is as it has to be.
    words
        What was found, and what to do about it if it is not.
    """

    subject: str
    ok: bool
    words: str


def job_scripts(profile: ClusterProfile, folder: Path) -> dict[str, str]:
    """Render the job script of each class.

    Parameters
    ----------
    profile
        Of the cluster.
    folder
        Of logs and certificate.

    Returns
    -------
    dict of str to str
        By class; empty for this machine, which has none.

    Raises
    ------
    SettingsError
        If a path cannot stand in a job script.
    """
    if profile.is_local:
        return {}
    place = Place(folder)
    return {
        level: batch_job(profile, level, place, scheduler=SCHEDULER, name=f"defect-surrogate-{level}-1").job_script()
        for level in LEVELS
    }


def check_cluster(
    cluster: Cluster, *, programs: Sequence[str], prefect: str | None, patience: float
) -> Iterator[Finding]:
    """Start a worker of each class, and have it look around.

    Parameters
    ----------
    cluster
        Nothing of it has been started.
    programs
        First words of the VASP command, of which each has to be there.
    prefect
        URL of Prefect's API, which workers have to reach; not asked for when None.
    patience
        Seconds to wait for a worker.

    Yields
    ------
    Finding
        As they are made.
    """
    for level in LEVELS:
        try:
            wanted = programs if level == "reference" else ()
            report = worker_report(cluster, level, programs=wanted, prefect=prefect, patience=patience)
        except ServiceError as error:
            yield Finding(level, False, str(error))
            continue
        if report is not None:
            yield from findings(cluster.profile, level, report, wanted)


def worker_report(
    cluster: Cluster,
    pool: str,
    *,
    programs: Sequence[str],
    prefect: str | None,
    wanted: int = 1,
    patience: float = math.inf,
    stopped: Callable[[], bool] = lambda: False,
) -> WorkerReport | None:
    """Wait for a worker, and have it look around.

    Parameters
    ----------
    cluster
        Of the worker.
    pool
        Its pool: a level of theory, or ``reference-more-memory``.
    programs
        Each of which has to be there.
    prefect
        URL of Prefect's API; not asked for when None.
    wanted
        Workers that there is work for, so that they start meanwhile.
    patience
        Seconds to wait.
    stopped
        Whether waiting is to end.

    Returns
    -------
    WorkerReport or None
        What it found; None if waiting was ended.

    Raises
    ------
    ServiceError
        If there is no worker in time, or nothing suggests that there will be one.
    """
    mark = cluster.folder / f"mark-{uuid.uuid4().hex}"
    crew = cluster.crew(pool)
    mark.touch()
    asked = cluster.profile.of("surrogate" if pool == "surrogate" else "reference")
    began, told = time.monotonic(), ""
    try:
        with crew.work(wanted):
            for _ in range(LOOKS):
                while not crew.workers:
                    problem = cluster.problem(pool)
                    if problem and problem != told:
                        logger.warning("%s: waits for a worker: %s", pool, problem)
                        told = problem
                    if stopped():
                        return None
                    if time.monotonic() - began > patience:
                        raise ServiceError(
                            f"{pool}: no worker within {patience:.0f} s: {problem or 'its job still waits'}"
                        )
                    time.sleep(0.5)
                report: WorkerReport | None = crew.run(
                    look_around, mark, tuple(programs), asked.scratch, asked.gpus > 0, prefect, patience=LOOK_SECONDS
                )
                if report is not None:
                    return report
            raise ServiceError(f"{pool}: {LOOKS} workers were lost, or did not answer within {LOOK_SECONDS:.0f} s each")
    finally:
        mark.unlink(missing_ok=True)


def findings(profile: ClusterProfile, level: Level, report: WorkerReport, programs: Sequence[str]) -> Iterator[Finding]:
    """Say what a worker's report means.

    Parameters
    ----------
    profile
        Of its cluster.
    level
        Its class.
    report
        What it found.
    programs
        Each of which has to be there.

    Yields
    ------
    Finding
        Good and bad.
    """
    asked = profile.of(level)
    yield Finding(
        level,
        True,
        f"a worker ran on {report.node} with {report.cores} cores, its job having {report.seconds:.0f} s left",
    )
    if not report.sees_folder:
        yield Finding(
            level, False, f"{report.node} does not see the folder of the campaign: use one that all nodes share"
        )
    if asked.gpus and not report.gpu:
        yield Finding(
            level, False, f"{report.node}: a GPU was asked for, and PyTorch sees none: check directives and modules"
        )
    elif report.gpu:
        yield Finding(level, True, f"GPU: {report.gpu}")
    if level == "reference" and programs and not report.executable:
        yield Finding(
            level, False, f"{report.node}: no {' or no '.join(programs)} on PATH: name its module in reference.modules"
        )
    elif report.executable:
        yield Finding(level, True, f"executable: {report.executable}")
    if report.scratch:
        yield Finding(level, False, report.scratch)
    if report.prefect:
        yield Finding(
            level,
            False,
            f"{report.node} does not reach Prefect's API: {report.prefect}: start the server with --host 0.0.0.0 "
            "and set PREFECT_API_URL to an address that compute nodes reach",
        )
