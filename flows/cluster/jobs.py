"""One Dask worker as a batch job, or as a process of this machine; and the certificates by which workers know each other."""

import asyncio
import contextlib
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distributed.security import Security

from defect_surrogate.errors import SettingsError
from flows.cluster.batch_systems import BATCH_SYSTEMS, walltime_text
from flows.cluster.job_classes import Job
from flows.cluster.profile import ClusterProfile, Level, ResourceClass
from tasks.job import JOB_ENDS

NAME = "defect-surrogate"

DEATH_TIMEOUT = 60
"""Seconds after which a worker ends that finds no scheduler (dask-jobqueue's default)."""

LOGS = {"distributed.admin.low-level-log-length": 10}
"""Dask keeps the latest thousand messages to each worker, and with them the tasks in them: 200 MB of structures."""

CLOSE_SECONDS = 20.0
"""Longest wait for the orderly end of a worker on this machine (our choice)."""

ENVIRONMENT = {
    "PYTHONWARNINGS": "ignore",
    # Dask has glibc give memory back early; of an evaluation's arrays that costs a quarter of its time
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # the most that glibc takes
    "DO_NOT_TRACK": "1",
}

SAFE_PATH = re.compile(r"[A-Za-z0-9_./+=@:,-]+")
"""Paths that stand in directives, where no batch system has quotes that all read alike."""


@dataclass(frozen=True)
class Place:
    """Folder of the workers of a campaign, and who may speak with them.

    Attributes
    ----------
    folder
        Seen by all nodes; readable for its owner alone.
    """

    folder: Path

    @property
    def logs(self) -> Path:
        """Folder of what the jobs write to standard output and error."""
        return self.folder / "logs"

    @property
    def _certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def _key(self) -> Path:
        return self.folder / "key.pem"

    def make(self) -> None:
        """Make the folder, its logs, and a certificate and its key, for a year."""
        self.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        temporary = Security.temporary()
        for path, content in ((self._certificate, temporary.tls_ca_file), (self._key, temporary.tls_client_key)):
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(content)

    def clean(self) -> None:
        """Remove certificate and key, which are of no use when the workers are gone."""
        self._certificate.unlink(missing_ok=True)
        self._key.unlink(missing_ok=True)

    @property
    def security(self) -> Security:
        """What scheduler, workers and clients need to trust each other."""
        certificate, key = str(self._certificate), str(self._key)
        roles = {
            f"tls_{role}_{what}": path
            for role in ("client", "scheduler", "worker")
            for what, path in (("cert", certificate), ("key", key))
        }
        return Security(require_encryption=True, tls_ca_file=certificate, **roles)

    @property
    def arguments(self) -> list[str]:
        """Arguments of a worker: paths of certificate and key, never their content."""
        return [f"--tls-ca-file={self._certificate}", f"--tls-cert={self._certificate}", f"--tls-key={self._key}"]


def batch_job(
    profile: ClusterProfile, level: Level, place: Place, *, scheduler: str, name: str, memory: int | None = None
) -> Job:
    """Make the batch job of one worker; nothing is submitted.

    Parameters
    ----------
    profile
        Of a batch system.
    level
        Class of the job.
    place
        Where logs and certificate are.
    scheduler
        Address of the Dask scheduler.
    name
        Of the worker.
    memory
        Bytes on each node, in place of the profile's.

    Returns
    -------
    Job
        Its ``job_script()`` is what is submitted.

    Raises
    ------
    SettingsError
        If a path cannot stand in a job script.
    """
    asked, system = profile.of(level), BATCH_SYSTEMS[profile.scheduler]
    for path in (place.folder, Path(sys.executable)):
        if not SAFE_PATH.fullmatch(str(path)):
            raise SettingsError(
                f"{str(path)!r} cannot stand in a job script: use a path of letters, digits and _./+=@:,-"
            )
    memory = memory or asked.memory
    make: Callable[..., Job] = system.job
    return make(
        scheduler=scheduler,
        name=name,
        cores=1,
        processes=1,
        memory="0 B",  # the worker's own limit: there is none, since the batch system has one
        queue=asked.queue,
        walltime=walltime_text(asked.walltime, profile.scheduler),
        job_name=f"{NAME}-{level}",
        log_directory=str(place.logs),
        death_timeout=DEATH_TIMEOUT,
        local_directory=str(place.folder / "dask"),
        shebang="#!/bin/bash -l",
        job_script_prologue=_prologue(asked),
        worker_extra_args=_worker_arguments(place, profile.interface),
        python=sys.executable,
        **system.arguments(profile, asked, memory),
    )


def _prologue(asked: ResourceClass) -> list[str]:
    """Lines of a job script before its worker: what the profile gives to the letter is quoted, its own lines are not."""
    variables = ENVIRONMENT | {"OMP_NUM_THREADS": str(asked.threads)} | asked.environment
    return [
        "umask 027",
        f"export {JOB_ENDS}=$(($(date +%s) + {asked.walltime}))",
        *(f"module load {shlex.quote(module)}" for module in asked.modules),
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        *asked.prologue,
    ]


def _worker_arguments(place: Place, interface: str | None) -> list[str]:
    """Arguments of a worker besides dask-jobqueue's."""
    return [
        "--no-dashboard",
        *(["--interface", interface] if interface else []),
        *place.arguments,
    ]


class LocalJob:
    """A worker as a process of this machine, which ends with the process that started it.

    Parameters
    ----------
    level, place, scheduler, name
        As for ``batch_job``.
    """

    def __init__(self, level: Level, place: Place, *, scheduler: str, name: str) -> None:
        self.level, self.name, self.job_id = level, name, ""
        prefix = [setpriv, "--pdeathsig", "TERM", "--"] if (setpriv := shutil.which("setpriv")) else []
        self.command = [
            *prefix,
            *(sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--name", name, "--nthreads", "1"),
            *("--nanny", "--host", "127.0.0.1", "--death-timeout", str(DEATH_TIMEOUT), "--memory-limit", "0"),
            *("--local-directory", str(place.folder / "dask")),
            *_worker_arguments(place, None),
        ]
        self._log = place.logs / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the process."""
        environment = (
            os.environ | ENVIRONMENT | {"OMP_NUM_THREADS": "1"}
        )  # the settings count single-threaded processes
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self.job_id = str(self._process.pid)

    @property
    def lives(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    async def close(self) -> None:
        """End it and what it started, and wait for that."""
        if self._process is not None:
            await asyncio.to_thread(_end, self._process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tail(logs: Path, name: str, job_id: str, *, lines: int = 5) -> str:
    """Return the end of what a job wrote.

    Parameters
    ----------
    logs
        Folder of the logs.
    name, job_id
        Of the worker and of its job.
    lines
        How many lines.

    Returns
    -------
    str
        Lines joined by `` | ``; empty if there is no log.
    """
    own = re.compile(rf"(?<!\d){re.escape(job_id)}(?!\d)")
    files = [*logs.glob(f"{name}.log"), *(file for file in logs.glob("*") if own.search(file.name))] if job_id else []
    last: list[str] = []
    for file in files:
        with contextlib.suppress(OSError), file.open(encoding="utf-8", errors="replace") as stream:
            last += [line.strip() for line in deque(stream, lines) if line.strip()]
    return " | ".join(last[-lines:])


def quieten_distributed() -> None:
    """Keep what Dask says of lost workers and schedulers from the terminal: it is said in our words."""
    for name in ("distributed", *(one for one in logging.root.manager.loggerDict if one.startswith("distributed."))):
        logging.getLogger(name).setLevel(logging.CRITICAL)
