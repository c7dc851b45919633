"""How many processes the kernel has killed here for a lack of memory: a killed VASP does not say why.

Batch systems give each job a control group with a limit of memory, and the kernel counts in it whom it kills
(https://docs.kernel.org/admin-guide/cgroup-v2.html, ``memory.events``; v1: ``memory.oom_control``).
"""

import contextlib
import os
import re
from pathlib import Path

CONTROL_GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

_JOB = re.compile(r".*/job_\d+(?=/|$)")
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def processes_killed_for_memory() -> int:
    """Return how many processes of this process's batch job were killed.

    Returns
    -------
    int
        Since the job began, in all its steps, of which a launcher makes its own; 0 where the kernel does not say, and outside a
        job of Slurm's, where others may share the group.
    """
    total = 0
    with contextlib.suppress(OSError):  # a step that ends takes its group along
        for line in OWN.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            job = _JOB.match(path)
            if job is None:
                continue
            if controllers == "memory":
                group = CONTROL_GROUPS / "memory" / job[0].lstrip("/")
                total += sum(_count(Path(place) / "memory.oom_control") for place, _, _ in os.walk(group))
            elif not controllers:
                total += _count(CONTROL_GROUPS / job[0].lstrip("/") / "memory.events")  # which counts those below, too
    return total


def _count(file: Path) -> int:
    try:
        return sum(int(count) for count in _COUNT.findall(file.read_text(encoding="utf-8")))
    except OSError:
        return 0
