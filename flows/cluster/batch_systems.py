"""What differs between batch systems: how a job asks for its resources, and how one learns what has become of it.

Scripts are made, submitted and cancelled by dask-jobqueue (https://jobqueue.dask.org), one Dask worker in each job. What it
renders for one worker with many cores is not what MPI needs, so ranks and threads are asked for here, in the words of the
manuals of Slurm (sbatch), OpenPBS (qsub, select statements), Grid Engine (qsub, parallel environments) and LSF (bsub).
"""

import asyncio
import getpass
import math
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dask_jobqueue.core import Job
from dask_jobqueue.lsf import LSFJob
from dask_jobqueue.pbs import PBSJob
from dask_jobqueue.sge import SGEJob
from dask_jobqueue.slurm import SLURMJob

from flows.cluster.profile import ClusterProfile, ResourceClass

QUERY_SECONDS = 60.0
"""Longest wait for an answer of a batch system (our choice)."""
CANCELLED_AGAIN = 1.0
"""Seconds between two attempts to cancel a job (our choice)."""
STATE_SECONDS = 3.0
"""Longest wait for the end of a job whose worker was lost (our choice)."""


@dataclass(frozen=True)
class BatchSystem:
    """A batch system.

    Attributes
    ----------
    job
        dask-jobqueue's class of its jobs.
    arguments
        From the profile, a class and the memory on each node in bytes to what that class takes.
    list_jobs
        Command that lists the user's jobs that have not ended.
    read_jobs
        From its output to the ids.
    describe
        Command, less the id, that says what has become of a job; none if there is no short one.
    """

    job: type[Job]
    arguments: Callable[[ClusterProfile, ResourceClass, int], dict[str, Any]]
    list_jobs: Callable[[str], Sequence[str]]
    read_jobs: Callable[[str], set[str]]
    describe: Sequence[str] = ()


def _megabytes(memory: int) -> int:
    return math.ceil(memory / 1024**2)


def _slurm(_profile: ClusterProfile, asked: ResourceClass, memory: int) -> dict[str, Any]:
    directives = [
        f"--nodes={asked.nodes}",
        f"--ntasks={asked.ranks}",
        *([f"--ntasks-per-node={asked.ranks // asked.nodes}"] if asked.nodes > 1 else []),
        f"--cpus-per-task={asked.threads}",
        *([f"--gres=gpu:{asked.gpus}"] if asked.gpus else []),
        "--open-mode=append",
    ]
    return {
        "account": asked.account,
        "job_mem": f"{_megabytes(memory)}M",
        "job_directives_skip": ["-n 1", "--cpus-per-task="],
        "job_extra_directives": [*directives, *asked.directives],
    }


def _pbs(_profile: ClusterProfile, asked: ResourceClass, memory: int) -> dict[str, Any]:
    ranks = asked.ranks // asked.nodes
    select = f"select={asked.nodes}:ncpus={ranks * asked.threads}:mpiprocs={ranks}:ompthreads={asked.threads}"
    select += f":mem={_megabytes(memory)}mb" + (f":ngpus={asked.gpus}" if asked.gpus else "")
    return {
        "account": asked.account,
        "resource_spec": select,
        "job_extra_directives": [
            *(["-l place=scatter"] if asked.nodes > 1 else []),  # else two chunks may share a node
            "-r n",
            *asked.directives,
        ],
    }


def _sge(profile: ClusterProfile, asked: ResourceClass, memory: int) -> dict[str, Any]:
    slots = asked.ranks * asked.threads
    each = memory * asked.nodes // slots // 1024**2  # no more in all than a node has
    directives = [
        "-S /bin/bash",  # else a queue may have its own shell read the script
        f"-pe {profile.parallel_environment} {slots}",
        *([f"-l gpu={asked.gpus}"] if asked.gpus else []),
        "-r n",
    ]
    return {
        "project": asked.account,
        "resource_spec": f"h_vmem={each}M",  # of each slot
        "job_extra_directives": [*directives, *asked.directives],
    }


def _lsf(_profile: ClusterProfile, asked: ResourceClass, memory: int) -> dict[str, Any]:
    slots = asked.ranks * asked.threads
    directives = [
        f"-n {slots}",
        f'-R "span[ptile={slots // asked.nodes}] rusage[mem={_megabytes(memory)}MB]"',
        f"-M {_megabytes(memory * asked.nodes)}MB",  # of a process or of the job, as the site has it: never too little
        *([f"-gpu num={asked.gpus}"] if asked.gpus else []),
        "-rn",
    ]
    return {
        "project": asked.account,
        "ncpus": 1,
        "mem": memory,
        "lsf_units": "mb",
        "job_directives_skip": ["-n 1", "-M "],
        "job_extra_directives": [*directives, *asked.directives],
    }


def _first_words(output: str) -> set[str]:
    """Read ids such as ``123``, ``123.server`` or ``123[]``."""
    words = [line.split()[0] for line in output.splitlines() if line.split()]
    return {digits for word in words if (digits := word.split(".")[0].split("[")[0]).isdigit()}


BATCH_SYSTEMS = {
    "slurm": BatchSystem(
        SLURMJob,
        _slurm,
        lambda user: ("squeue", "--noheader", "--format=%i", f"--user={user}"),
        _first_words,
        ("scontrol", "show", "job", "--oneliner"),
    ),
    "pbs": BatchSystem(PBSJob, _pbs, lambda user: ("qselect", "-u", user), _first_words),
    "sge": BatchSystem(SGEJob, _sge, lambda user: ("qstat", "-u", user), _first_words),
    "lsf": BatchSystem(LSFJob, _lsf, lambda user: ("bjobs", "-noheader", "-u", user, "-o", "jobid"), _first_words),
}
"""By the name in a profile."""


def walltime_text(seconds: int, scheduler: str) -> str:
    """Write a walltime as a batch system reads it.

    Parameters
    ----------
    seconds
        How long.
    scheduler
        LSF reads hours and minutes, the others seconds too.

    Returns
    -------
    str
        E.g. ``24:00:00``, or ``24:00`` for LSF.
    """
    if scheduler == "lsf":
        minutes = math.ceil(seconds / 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


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
    left, began = {job for job in jobs if job.isdigit()}, time.monotonic()
    while left:
        answer = await asyncio.to_thread(ask, system.list_jobs(getpass.getuser()))
        if answer is not None:
            left &= system.read_jobs(answer)
        calls = (asyncio.wait_for(system.job._close_job(job, system.job.cancel_command), QUERY_SECONDS) for job in left)
        await asyncio.gather(*calls, return_exceptions=True)  # whether they are gone is asked
        if not left or time.monotonic() - began >= seconds:
            break
        await asyncio.sleep(CANCELLED_AGAIN)
    return left


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
