"""The batch job that a task runs in: which one it is, and how long it still has."""

import contextlib
import math
import os
import subprocess
import time

import distributed
from distributed.core import Status

JOB_ENDS = "DEFECT_SURROGATE_JOB_ENDS"
"""Environment variable that job scripts set: when the walltime is over, in seconds since the epoch."""

LEAVE_SECONDS = 2.0
"""Time for the result of the last task of a job to be fetched (our choice)."""

_IDS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
"""Environment variables by which Slurm, PBS, LSF and Grid Engine tell a job its id."""


def job_id() -> str:
    """Return the id of the batch job of this process; empty outside one."""
    return next((value for name in _IDS if (value := os.environ.get(name))), "")


def remaining_seconds() -> float:
    """Return how long the batch job of this process still has.

    Slurm is asked, since a time limit can be changed while a job runs; elsewhere it is the walltime that was asked for.

    Returns
    -------
    float
        Seconds; infinity outside a job.
    """
    if job := os.environ.get("SLURM_JOB_ID"):
        seconds = _left(job)
        if seconds is not None:
            return seconds
    ends = os.environ.get(JOB_ENDS, "")
    return float(ends) - time.time() if ends.isdigit() else math.inf


def leave_job() -> None:
    """Have the Dask worker of this task take no more work, and end, and so its job, as soon as the task's result is away."""
    with contextlib.suppress(ValueError):  # outside a worker there is nothing to leave
        worker = distributed.get_worker()

        def leave() -> None:
            worker.status = Status.closing_gracefully  # the scheduler is told, and gives it nothing any more
            worker.loop.call_later(LEAVE_SECONDS, worker.close)

        worker.loop.add_callback(leave)


def _left(job: str) -> float | None:
    """Ask Slurm, e.g. ``1-02:03:04``, ``03:04`` or ``UNLIMITED``; None if it does not say."""
    try:
        answer = subprocess.run(
            ["squeue", "--noheader", "--format=%L", f"--job={job}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    if answer == "UNLIMITED":
        return math.inf
    days, _, clock = answer.rpartition("-")
    try:
        seconds = 0.0
        for part in clock.split(":"):
            seconds = 60 * seconds + float(part)
        return 86400 * float(days or 0) + seconds
    except ValueError:
        return None
