"""What differs between batch systems: how a job asks for its resources, and the words with which one asks for jobs.

Scripts are made, submitted and cancelled by dask-jobqueue (https://jobqueue.dask.org), one Dask worker in each job. What it
renders for one worker with many cores is not what MPI needs, so ranks and threads are asked for here, in the words of the
manuals of Slurm (sbatch), OpenPBS (qsub, select statements), Grid Engine (qsub, parallel environments) and LSF (bsub).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flows.cluster.job_classes import Job, LSFJob, PBSJob, SGEJob, SLURMJob
from flows.cluster.profile import ClusterProfile, ResourceClass


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
