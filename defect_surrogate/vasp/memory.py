"""How many processes the kernel has killed here for a lack of memory: a killed VASP does not say why.

Batch systems give each job a control group with a limit of memory, and the kernel counts in it whom it kills
(https://docs.kernel.org/admin-guide/cgroup-v2.html, ``memory.events``; v1: ``memory.oom_control``).
"""

import re
from pathlib import Path

CONTROL_GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def processes_killed_for_memory() -> int:
    """Return how many processes of this process's batch job, or of its control group outside one, were killed.

    Returns
    -------
    int
        Since the group was made; 0 where the kernel does not say. Of Slurm it is the whole job's group, since each step of a
        launcher has one of its own.
    """
    try:
        lines = OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    total = 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            total += sum(_count(file) for file in _job(CONTROL_GROUPS / "memory", path).rglob("memory.oom_control"))
        elif not controllers:
            total += _count(_job(CONTROL_GROUPS, path) / "memory.events")  # which counts those below, too
    return total


def _job(root: Path, path: str) -> Path:
    """Directory of the group of a job of Slurm's, e.g. ``…/job_17/step_batch``, else of the group itself."""
    parts = path.strip("/").split("/")
    jobs = [number for number, part in enumerate(parts) if re.fullmatch(r"job_\d+", part)]
    return root.joinpath(*(parts[: jobs[0] + 1] if jobs else parts))


def _count(file: Path) -> int:
    try:
        return sum(int(count) for count in _COUNT.findall(file.read_text(encoding="utf-8")))
    except OSError:
        return 0
