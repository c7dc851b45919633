"""Whether a unit whose work broke is tried again, by what it broke on.

=========================================================  ====================================================================
what broke                                                 what is done
=========================================================  ====================================================================
input, or a calculation that would break alike             given up
its batch job ended: walltime, preemption, ``scancel``,    another job goes on from where it was; given up when it has not come
node                                                       any farther in ``INTERRUPTIONS`` jobs
memory                                                     once more in a job with more, if the profile has one
its worker was lost before it had begun                     as if its job had ended: another unit may have killed it
its run was ended though nobody wants that                 as if its job had ended: its driver was asleep, and taken for dead
its worker's process died                                  elsewhere, up to ``retries`` times; then it is quarantined
anything else: disk, network, device                       elsewhere, up to ``retries`` times
=========================================================  ====================================================================

A unit that is given up is listed in the report, and ``resume`` tries it again.
"""

from collections import Counter
from typing import Literal

from defect_surrogate.errors import (
    InputError,
    JobEndsError,
    MemoryExceededError,
    ReferenceRunError,
    StoppedError,
    WorkerLostError,
)

INTERRUPTIONS = 5
"""Jobs that may end under a unit without its getting any farther (our choice)."""

INTERRUPTED = frozenset(
    {"TIMEOUT", "PREEMPTED", "CANCELLED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "DEADLINE", "PENDING", "COMPLETING"}
)
"""States of a job of Slurm that are not its unit's fault. Pending is one that was requeued, completing one that ends: a unit
that kills its worker leaves the job running."""
OUT_OF_MEMORY = "OUT_OF_MEMORY"

Next = Literal["again", "more memory", "give up"]


class Tries:
    """Counts the tries of the units of a batch.

    Parameters
    ----------
    retries
        Further tries of a unit that broke by no fault of its own.
    more_memory
        Whether there are jobs with more memory.
    """

    def __init__(self, retries: int, *, more_memory: bool) -> None:
        self._retries, self._more_memory = retries, more_memory
        self._broke: Counter[str] = Counter()
        self._interrupted: Counter[str] = Counter()
        self._progress: dict[str, float] = {}
        self._had_more: set[str] = set()
        self._begun: set[str] = set()

    def next(self, unit: str, error: Exception, *, fate: str = "", progress: float = 0.0, begun: bool = True) -> Next:
        """Decide about a unit that broke.

        Parameters
        ----------
        unit
            Its name.
        error
            What it broke on.
        fate
            How the job of its worker ended, if that was lost.
        progress
            Any number that grows as the unit gets farther.
        begun
            Whether a worker that was lost had begun it.

        Returns
        -------
        str
            What is done.
        """
        if begun:
            self._begun.add(unit)
        if isinstance(error, MemoryExceededError) or (fate == OUT_OF_MEMORY and begun):
            return self._with_more(unit)
        lost = isinstance(error, WorkerLostError)
        if isinstance(error, (JobEndsError, StoppedError)) or (lost and (fate in INTERRUPTED or not begun)):
            farther = progress > self._progress.get(unit, 0.0)
            self._progress[unit] = max(progress, self._progress.get(unit, 0.0))
            self._interrupted[unit] = 0 if farther else self._interrupted[unit] + 1
            return "again" if self._interrupted[unit] < INTERRUPTIONS else "give up"
        if isinstance(error, (InputError, ReferenceRunError)):
            return "give up"
        self._broke[unit] += 1
        return "again" if self._broke[unit] <= self._retries else "give up"

    def words(self, unit: str, error: Exception, fate: str) -> str:
        """Say why a unit was given up.

        Parameters
        ----------
        unit
            Its name.
        error
            What it broke on last.
        fate
            How the job of its worker ended, if that was lost.

        Returns
        -------
        str
            One line.
        """
        how = f" (its job: {fate})" if fate else ""
        if self._interrupted[unit] >= INTERRUPTIONS and unit not in self._begun:
            return f"{error}{how}; {INTERRUPTIONS} workers in a row were lost before they had begun it"
        if self._interrupted[unit] >= INTERRUPTIONS:
            return f"{error}{how}; it came no farther in {INTERRUPTIONS} jobs: give them more walltime or memory"
        if isinstance(error, WorkerLostError) and fate not in (*INTERRUPTED, OUT_OF_MEMORY):
            return (
                f"{unit}: its worker process died at each of {self._broke[unit]} tries{how}; quarantined until resume"
            )
        if fate == OUT_OF_MEMORY or isinstance(error, MemoryExceededError):
            return f"{error}{how}; give its jobs more memory, or the profile more_memory"
        return f"{error}{how}"

    def _with_more(self, unit: str) -> Next:
        if not self._more_memory or unit in self._had_more:
            return "give up"
        self._had_more.add(unit)
        return "more memory"
