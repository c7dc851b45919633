"""What a worker of a cluster finds where it runs: called by a worker, before work is given to its class."""

import os
import socket
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.vasp.command import find_command
from tasks.job import remaining_seconds

API_SECONDS = 10.0
"""Longest wait for Prefect's answer (our choice)."""


@dataclass(frozen=True)
class WorkerReport:
    """What a worker finds where it runs.

    Attributes
    ----------
    node
        Its name.
    cores
        That it may use.
    gpu
        Name of its GPU; empty if it sees none.
    seconds
        That its job still has, in s.
    sees_folder
        Whether it sees a file that the campaign wrote.
    executable
        Path of the program asked for; empty if it is not there.
    scratch
        What is wrong with the scratch directory; empty if nothing is.
    prefect
        Why it does not reach Prefect's API; empty if it does, or was not asked to.
    """

    node: str
    cores: int
    gpu: str
    seconds: float
    sees_folder: bool
    executable: str
    scratch: str
    prefect: str


def look_around(
    mark: Path, programs: Sequence[str], scratch: str | None, for_gpu: bool, prefect: str | None
) -> WorkerReport:
    """Look around on a worker.

    Parameters
    ----------
    mark
        A file that the campaign has written.
    programs
        To be found on PATH, or beside Python.
    scratch
        Directory for large files.
    for_gpu
        Whether a GPU was asked for.
    prefect
        URL of Prefect's API.

    Returns
    -------
    WorkerReport
        What was found.
    """
    return WorkerReport(
        node=socket.gethostname(),
        cores=len(os.sched_getaffinity(0)),
        gpu=_gpu() if for_gpu else "",
        seconds=remaining_seconds(),
        sees_folder=mark.is_file(),
        executable=_found(programs),
        scratch=_scratch_fault(scratch),
        prefect=api_fault(prefect),
    )


def api_fault(url: str | None) -> str:
    """Say why Prefect's API is not reached from here; empty if it is, or if there is none to reach."""
    if url is None:
        return ""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=API_SECONDS) as answer:  # noqa: S310  (the user's own)
            return "" if answer.read(64).strip() == b"true" else "what answers is not a healthy Prefect server"
    except (OSError, ValueError) as error:
        return str(error)


def _found(programs: Sequence[str]) -> str:
    try:
        return " ".join(find_command([word])[0] for word in programs)
    except ReferenceInputError:
        return ""


def _gpu() -> str:
    from defect_surrogate.surrogates import gpu_name  # noqa: PLC0415  (imports torch)

    return gpu_name()


def _scratch_fault(scratch: str | None) -> str:
    if scratch is None:
        return ""
    place = os.path.expandvars(scratch)
    return "" if os.access(place, os.W_OK) else f"scratch {scratch}, here {place}: is no directory that can be written"
