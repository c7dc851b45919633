"""A batch of units relaxed on Dask workers: what the flows of both levels do."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dask
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, SkipValidation, field_serializer

from defect_surrogate.archive import Archive, Driver
from defect_surrogate.errors import ServiceError, StoppedError, WorkerLostError
from defect_surrogate.relaxation import Relaxation
from flows.allowance import Allowance
from flows.cluster.connection import Cluster
from flows.progress import finished_line, progress
from flows.retries import Tries
from flows.stream import Results
from flows.waiting import Group, Waiting
from flows.work import Work
from flows.workers import Outcome, Submit, outcomes

logger = logging.getLogger(__name__)

LAST_STEP = 60.0
"""Seconds that surrogate relaxations get to end at their next step and keep their state, when they are told to (our choice)."""


class Batch(BaseModel):
    """Units for one run of a flow; Prefect records their names only, since parameters are capped at 512 KB.

    Attributes
    ----------
    works
        The units.
    retries
        Further tries of a unit that broke by no fault of its own.
    pool
        Name of the workers that relax them.
    cluster
        Has these workers.
    driver
        Of the flow that gives them out.
    results
        Is told what becomes of each unit, as it ends.
    stopped
        Whether somebody asked the work to end.
    priority
        Of the work, before or after that of other campaigns on the same workers; larger goes first.
    allowance
        What may be spent on it; unlimited when None.
    """

    model_config = ConfigDict(frozen=True)

    works: tuple[InstanceOf[Work], ...]
    retries: int
    pool: str
    cluster: InstanceOf[Cluster] = Field(exclude=True)
    driver: InstanceOf[Driver] = Field(exclude=True)
    results: InstanceOf[Results] = Field(exclude=True)
    stopped: SkipValidation[Callable[[], bool]] = Field(exclude=True)
    priority: int = 0
    allowance: InstanceOf[Allowance] | None = Field(None, exclude=True)

    @property
    def over(self) -> bool:
        """Whether the work is to end."""
        return self.results.abandoned or self.stopped()

    @field_serializer("works")
    def names(self, works: tuple[Work, ...]) -> list[str]:
        """Names of the units."""
        return [work.unit.name for work in works]


def batch_name() -> str:
    """Return the name of a run of a subflow, e.g. ``CdTe · 15 surrogate relaxations``."""
    works = flow_run.parameters["batch"].works
    if not works:
        return "nothing to relax"
    hosts = list(dict.fromkeys(work.unit.host for work in works))
    more = f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""
    return f"{hosts[0]}{more} · {len(works)} {works[0].unit.level} relaxations"


@dataclass
class _Progress:
    """How far a batch is.

    Attributes
    ----------
    batch, archive
        Units, and where they are published.
    tries
        Decides about those that broke.
    total, ended
        Units that were missing, and those of them that have ended.
    hungry
        Names of units that need more memory.
    begun
        Attempts that have been seen, by name of the unit.
    """

    batch: Batch
    archive: Archive
    tries: Tries
    total: int
    ended: int = 0
    hungry: tuple[str, ...] = ()
    begun: dict[str, frozenset[str]] = field(default_factory=dict)

    def take(self, outcome: Outcome) -> list[Group]:
        """Take in what became of a group; return what is to be tried again."""
        left = []
        for work in outcome.group:
            relaxation = self.archive.find(work.unit)
            if relaxation is None and outcome.error is None:
                relaxation = self.archive.find_late(work.unit)
            if relaxation is None:
                left.append(work)
            else:
                self.put(work, relaxation)
        begun = [self._had_begun(work) for work in left]
        if not left or (isinstance(outcome.error, StoppedError) and self.batch.over):
            return []
        if len(outcome.group) > 1:  # which of them broke the group shows when each is alone
            return [tuple(part) for part in (left[::2], left[1::2]) if part]
        return self._again(left[0], outcome, begun=begun[0])

    def put(self, work: Work, relaxation: Relaxation) -> None:
        """Take in that a unit is finished."""
        self.ended += 1
        self.batch.results.put(work.unit.name, relaxation)
        logger.info("%s", finished_line(work.unit.name, relaxation, done=self.ended, total=self.total))

    def leave(self, work: Work) -> None:
        """Take in that a unit is left for another night."""
        self.ended += 1
        self.batch.results.put(work.unit.name, None)

    def leave_all(self) -> None:
        """Take in that all that has not ended is left for another night."""
        for work in self.batch.works:
            if not self.batch.results.has(work.unit.name) and work.unit.name not in self.hungry:
                self.leave(work)

    def _again(self, work: Work, outcome: Outcome, *, begun: bool) -> list[Group]:
        name = work.unit.name
        error = outcome.error or ServiceError(f"{name}: its worker left no result")
        lost = isinstance(error, WorkerLostError)
        fate = self.batch.cluster.fate(self.batch.pool, outcome.worker) if lost else ""
        what = self.tries.next(name, error, fate=fate, progress=self.archive.progress(work.unit), begun=begun)
        if what == "again":
            logger.warning("%s: %s%s; tried again", name, error, f" (its job: {fate})" if fate else "")
            return [(work,)]
        self.ended += 1
        if what == "more memory":
            self.hungry += (name,)
            logger.warning("%s: %s; tried again with more memory", name, error)
            return []
        words = self.tries.words(name, error, fate)
        self.archive.record_failure(work.unit, type(error)(words))
        self.batch.results.put(name, None)
        logger.error("%s broke: %s, %d of %d", name, words, self.ended, self.total)
        return []

    def _had_begun(self, work: Work) -> bool:
        """Whether the worker that was given a unit has begun it; it may have been lost before."""
        now = self.archive.begun(work.unit, self.batch.driver.name)
        new = now - self.begun.get(work.unit.name, frozenset())
        self.begun[work.unit.name] = now
        return bool(new)


def relaxed(batch: Batch, archive_root: Path, submit: Submit, *, most: int, workers: int) -> tuple[str, ...]:
    """Relax a batch within the flow that is running, and say what becomes of each unit as it ends.

    Parameters
    ----------
    batch
        The units.
    archive_root
        Directory of the archive, to which they are published.
    submit
        Submits units to one worker.
    most
        Most units that one worker gets at once.
    workers
        Among how many workers they are shared out.

    Returns
    -------
    tuple of str
        Names of the units that ran out of memory, and are to be tried with more.

    Raises
    ------
    StoppedError
        If it was told to stop before all had ended.
    ClusterLostError
        If the Dask scheduler is lost.
    """
    archive = Archive(archive_root)
    tries = Tries(batch.retries, more_memory=batch.cluster.has_more_memory and batch.pool == "reference")
    so_far = _Progress(batch, archive, tries, len(batch.works))
    groups = _groups(batch.works, most=most, workers=workers)
    if groups and not batch.over:
        with (
            batch.cluster.crew(batch.pool).work(len(groups)) as demand,
            progress(batch_name(), len(batch.works)) as advance,
            dask.annotate(priority=batch.priority),
        ):
            cores = batch.cluster.profile.of("surrogate" if batch.pool == "surrogate" else "reference").cores
            waiting = Waiting(groups, archive, batch.driver, demand, allowance=batch.allowance, cores=cores)
            told, ending, before = "", 0.0, 0
            for outcome in outcomes(waiting, submit):
                if outcome is None:
                    told = _tell(batch, waiting, told)
                else:
                    waiting.again(so_far.take(outcome))
                for work, relaxation in waiting.found():
                    so_far.put(work, relaxation)
                for work in waiting.refused():
                    so_far.leave(work)
                advance(so_far.ended - before)
                before = so_far.ended
                if batch.allowance is not None and batch.allowance.is_spent():
                    so_far.leave_all()  # what runs ends with the driver, and goes on another night
                    break
                if batch.over:
                    waiting.clear()
                    batch.driver.retire()
                    ending = ending or time.monotonic()
                    if batch.results.abandoned or batch.pool != "surrogate" or time.monotonic() - ending > LAST_STEP:
                        break  # their workers end with them, and what they have done is kept
    if so_far.ended < so_far.total:
        raise StoppedError(
            f"{batch_name()}: stopped on request, {so_far.total - so_far.ended} left; what is on its way is kept, and "
            "defect-surrogate resume goes on"
        )
    return so_far.hungry


def _tell(batch: Batch, waiting: Waiting, before: str) -> str:
    """Say what is waited for, once."""
    words = batch.cluster.problem(batch.pool)
    if words:
        words = f"waits for workers: {words}"
    elif waiting.only_elsewhere:
        words = "waits for units that another campaign on this archive, or another part of this one, has begun"
    if words and words != before:
        logger.warning("%s: %s", batch.pool, words)
    return words


def _groups(works: Sequence[Work], *, most: int, workers: int) -> list[Group]:
    """Share units out evenly, with at most so many in a group."""
    size = max(1, min(most, -(-len(works) // workers)))
    return [tuple(works[first : first + size]) for first in range(0, len(works), size)]
