"""What a batch system says about jobs, and jobs cancelled until it does not list them any more."""

import asyncio
import getpass
import math
import re
import shlex
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from flows.cluster.batch_systems import BatchSystem

QUERY_SECONDS = 60.0
"""Longest wait for an answer of a batch system (our choice)."""
MISSED = 2
"""Answers in a row without a job after which it has ended: one may be empty by mistake (our choice)."""
ASKED_AGAIN = 1.0
"""Seconds between two looks at the queue for jobs that were cancelled (our choice)."""
CANCELLED_AGAIN = 15.0
"""Seconds between two requests to cancel a job (our choice)."""
AT_ONCE = 100
"""Jobs that one command cancels (our choice)."""
STATE_SECONDS = 3.0
"""Longest wait for the end of a job whose worker was lost (our choice)."""


def ask(command: Sequence[str]) -> str | None:
    """Ask a batch system something.

    Parameters
    ----------
    command
        Words.

    Returns
    -------
    str or None
        Its answer; None if it does not answer, which says nothing about the jobs.
    """
    try:
        answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=QUERY_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    nothing = "No unfinished job found" in answer.stderr  # LSF says that there is none in this way
    return answer.stdout if answer.returncode == 0 or nothing else None


async def listed(system: BatchSystem) -> set[str] | None:
    """Return the ids of the user's jobs that have not ended; None if the batch system does not answer."""
    answer = await asyncio.to_thread(ask, system.list_jobs(getpass.getuser()))
    return None if answer is None else system.read_jobs(answer)


async def cancel(system: BatchSystem, jobs: Iterable[str], *, seconds: float) -> set[str]:
    """Cancel jobs, again until the batch system does not list them any more.

    Parameters
    ----------
    system
        Of the jobs.
    jobs
        Their ids.
    seconds
        Longest time for it.

    Returns
    -------
    set of str
        Those that may still be there.
    """
    left = {job: 0 for job in jobs if job.isdigit()}
    began, cancelled = time.monotonic(), -math.inf
    while left:
        if time.monotonic() - cancelled > CANCELLED_AGAIN:
            cancelled = time.monotonic()
            await asyncio.to_thread(request_end, system, left)
        queue = await listed(system)
        if queue is not None:
            left = still_listed(left, queue)
        if time.monotonic() - began >= seconds:
            break
        await asyncio.sleep(ASKED_AGAIN)
    return set(left)


def request_end(system: BatchSystem, jobs: Iterable[str]) -> None:
    """Ask a batch system to cancel jobs; whether it does, its queue shows."""
    ids = sorted(jobs)
    for first in range(0, len(ids), AT_ONCE):
        ask([*shlex.split(system.job.cancel_command), *ids[first : first + AT_ONCE]])


def still_listed(missed: Mapping[str, int], queue: Collection[str]) -> dict[str, int]:
    """Return the jobs that a batch system may still have, with the answers in a row that do not list them.

    Parameters
    ----------
    missed
        Jobs, and answers so far.
    queue
        Jobs by the latest answer.

    Returns
    -------
    dict of str to int
        Without those that several answers do not list: one may be empty by mistake.
    """
    now = {job: 0 if job in queue else count + 1 for job, count in missed.items()}
    return {job: count for job, count in now.items() if count < MISSED}


IN_LOGS = {
    "OUT_OF_MEMORY": re.compile(
        r"exceeded (job )?memory limit|oom.?kill|TERM_MEMLIMIT|mem \S+ exceeded limit", re.IGNORECASE
    ),
    "TIMEOUT": re.compile(r"DUE TO TIME LIMIT|TERM_RUNLIMIT|walltime \S+ exceeded limit", re.IGNORECASE),
    "PREEMPTED": re.compile(r"DUE TO PREEMPTION|TERM_PREEMPT"),
}
"""What Slurm, LSF and PBS write into the log of a job that they end, by the state that it means."""


def state_in_log(text: str) -> str:
    """Say how a job ended by the end of its log.

    Parameters
    ----------
    text
        What it wrote last.

    Returns
    -------
    str
        A state in Slurm's words; empty if the log does not say.
    """
    return next((state for state, words in IN_LOGS.items() if words.search(text)), "")


def job_state(system: BatchSystem, job: str) -> str:
    """Ask what has become of a job, for a few seconds if it has just lost its worker.

    Parameters
    ----------
    system
        Of the job.
    job
        Its id.

    Returns
    -------
    str
        A state in Slurm's words, e.g. ``TIMEOUT``, ``OUT_OF_MEMORY``, ``RUNNING``; empty if the batch system does not say.
    """
    state, began = "", time.monotonic()
    while system.describe and time.monotonic() - began < STATE_SECONDS:
        found = re.search(r"JobState=(\w+)", ask([*system.describe, job]) or "")
        state = found[1] if found else ""
        if state not in ("RUNNING", "COMPLETING"):
            break
        time.sleep(0.5)
    return state
