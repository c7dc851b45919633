"""The workers of one resource class: a Dask scheduler, and as many jobs as there is work for.

dask-jobqueue makes, submits and cancels the jobs. When there is to be one is decided here: its clusters do not resubmit a job
that a walltime or a node took (issues 611 and 691 of dask-jobqueue), cancel jobs that work when they scale down (498), and
never look at the queue. Here every few seconds the jobs that there are, by the batch system's word, are compared with those
that there should be; what it cannot be asked about is left alone.

A task whose worker is lost is given back to the campaign, which knows the unit, and decides: ``allowed_failures`` is 0.
"""

import asyncio
import contextlib
import getpass
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed import Scheduler

from defect_surrogate.errors import SettingsError
from flows.cluster.batch_systems import BATCH_SYSTEMS, BatchSystem
from flows.cluster.job_classes import Job
from flows.cluster.jobs import LocalJob, Place, batch_job, tail
from flows.cluster.profile import ClusterProfile, Jobs, Level
from flows.cluster.queue import MISSED, cancel, listed, request_end, still_listed

logger = logging.getLogger(__name__)

PERIOD = 2.0
"""Seconds between two comparisons of the jobs there are with those there should be (our choice)."""
LOCAL_PERIOD = 0.2
"""The same on this machine, where looking costs nothing (our choice)."""
CALL_SECONDS = 120.0
"""Longest wait for a batch system that is given a job (our choice)."""
LEAVE_SECONDS = 40.0
"""Longest wait for cancelled jobs to leave the queue at the end, more than Slurm's ``KillWait`` (our choice)."""
FAILED_STARTS = 3
"""Jobs in a row that end before their worker is there, after which only one a minute is tried (our choice)."""
RETRY_SECONDS = 60.0
KEPT = 1000
"""Jobs that have ended whose ids are kept, so that one can ask what became of them (our choice)."""
WANTED = "wanted"
"""Metadata of the scheduler: how many workers each client has work for."""


class _Scheduler(Scheduler):
    """A scheduler that never runs a task again on its own, also where its worker took its leave in order."""

    async def remove_worker(self, address: str, *, stimulus_id: str, expected: bool = False, close: bool = True) -> Any:
        return await super().remove_worker(address, stimulus_id=stimulus_id, expected=False, close=close)


@dataclass
class _Running:
    """A job that was submitted.

    Attributes
    ----------
    job
        dask-jobqueue's, or a process of this machine.
    submitted, idle_since
        Seconds of the monotonic clock; idle since never while it works.
    connected
        Whether its worker has been there.
    missed
        Answers of the batch system in a row that do not list it.
    """

    job: Job | LocalJob
    submitted: float
    idle_since: float | None = None
    connected: bool = False
    missed: int = 0


@dataclass
class Pool:
    """Workers of one resource class.

    Attributes
    ----------
    profile
        Of the cluster.
    level
        Class of the jobs.
    place
        Folder of logs and certificate.
    name
        Of the pool, with which names of its workers begin.
    memory
        Bytes on each node, in place of the profile's.
    problem
        What is in the way of its workers, in words; empty if nothing is.
    """

    profile: ClusterProfile
    level: Level
    place: Place
    name: str
    memory: int | None = None
    problem: str = ""
    _jobs: dict[str, _Running] = field(default_factory=dict)
    _leaving: dict[str, int] = field(default_factory=dict)
    _cancelled: float = -math.inf
    _number: int = 0
    _failed_starts: int = 0
    _not_before: float = 0.0
    _asked: float = -math.inf
    _queue: set[str] | None = None
    _too_many_since: float | None = None
    _ended: dict[str, str] = field(default_factory=dict)
    _ever_connected: bool = False

    async def start(self) -> str:
        """Start the scheduler.

        Returns
        -------
        str
            Its address.
        """
        options: dict[str, Any] = (
            {"host": "127.0.0.1"} if self.profile.is_local else {"interface": self.profile.interface}
        )
        self._scheduler = await _Scheduler(
            protocol="tls://",
            security=self.place.security,
            dashboard=False,
            dashboard_address="127.0.0.1:0",
            allowed_failures=0,
            **options,
        )
        return str(self._scheduler.address)

    @property
    def job_ids(self) -> list[str]:
        """Ids of the jobs that may still be there."""
        return [*(one.job.job_id for one in self._jobs.values() if one.job.job_id), *self._leaving]

    @property
    def state(self) -> dict[str, Any]:
        """What a person wants to know of it."""
        connected = sum(one.connected for one in self._jobs.values())
        return {
            "workers": len(self._scheduler.workers),
            "jobs": len(self._jobs),
            "waiting": len(self._jobs) - connected,
            "wanted": self._wanted(),
            "problem": self.problem,
            "hopeless": self._failed_starts >= FAILED_STARTS and not self._ever_connected,
            "job_ids": self._ended | {name: one.job.job_id for name, one in self._jobs.items()},
        }

    async def correct(self) -> None:
        """Compare the jobs that there are with those that there should be, and submit, give back or forget some."""
        now = time.monotonic()
        await self._look(now)
        wanted = self._wanted()
        for name in await self._surplus(now, wanted):
            await self._give_back(name)
        while len(self._jobs) < wanted and now >= self._not_before:
            if not await self._submit(now) or self._failed_starts >= FAILED_STARTS:
                self._not_before = now + RETRY_SECONDS

    async def close(self) -> None:
        """Cancel all jobs, and end the scheduler; ``job_ids`` are those that may still be there."""
        given_back = (self._give_back(name, closing=True) for name in list(self._jobs))
        await asyncio.gather(*given_back, return_exceptions=True)
        if self._system is not None:
            self._leaving = dict.fromkeys(await cancel(self._system, self._leaving, seconds=LEAVE_SECONDS), 0)
        with contextlib.suppress(Exception):
            await self._scheduler.close()

    @property
    def _limits(self) -> Jobs:
        return self.profile.of(self.level).jobs

    def _wanted(self) -> int:
        asked: Mapping[str, int] = self._scheduler.task_metadata.get(WANTED, {})
        total = sum(count for client, count in asked.items() if client in self._scheduler.clients)
        least = self._limits.minimum if self.memory is None else 0  # larger jobs are for what needs them alone
        return min(max(total, least), self._limits.maximum)

    async def _look(self, now: float) -> None:
        """Find out which jobs have workers, and which are gone."""
        workers = {str(worker.name): worker for worker in self._scheduler.workers.values()}
        before = self._asked
        alive = await self._alive(now)
        fresh = self._asked != before
        for name, one in list(self._jobs.items()):
            worker = workers.get(name)
            if worker is not None:
                one.connected, self._ever_connected, self._failed_starts, self.problem = True, True, 0, ""
                one.idle_since = None if worker.processing else one.idle_since or now
                continue
            one.idle_since = None
            if alive is None or one.job.job_id in alive or one.submitted >= self._asked:
                one.missed = 0
            elif fresh:
                one.missed += 1
            if one.missed >= (1 if self._system is None else MISSED):
                del self._jobs[name]
                self._note_end(name, one)

    async def _alive(self, now: float) -> set[str] | None:
        """Ids of the jobs that have not ended; None if that is not known."""
        if self._system is None:
            self._asked = now
            return {one.job.job_id for one in self._jobs.values() if isinstance(one.job, LocalJob) and one.job.lives}
        if (self._jobs or self._leaving) and now - self._asked >= self.profile.poll:
            self._queue, self._asked = await listed(self._system), now
            if self._queue is not None and self._leaving:
                self._leaving = still_listed(self._leaving, self._queue)
                if self._leaving and now - self._cancelled > RETRY_SECONDS:
                    self._cancelled = now
                    await asyncio.to_thread(request_end, self._system, self._leaving)
            if self._queue is None:
                self.problem = (
                    f"the batch system does not answer: {' '.join(self._system.list_jobs(getpass.getuser()))}"
                )
        return self._queue

    @property
    def _system(self) -> BatchSystem | None:
        return BATCH_SYSTEMS.get(self.profile.scheduler)

    def _note_end(self, name: str, one: _Running) -> None:
        """Note that a job has ended which nobody gave back."""
        last = tail(self.place.logs, name, one.job.job_id)
        self._ended[name] = one.job.job_id
        for old in list(self._ended)[:-KEPT]:
            del self._ended[old]
        logger.info("%s: job %s has ended", name, one.job.job_id)
        if not one.connected:
            self._failed_starts += 1
            self.problem = f"job {one.job.job_id} ended before its worker was there: {last or 'nothing in its log'}"

    async def _submit(self, now: float) -> bool:
        """Submit a job; return whether that could be done."""
        self._number += 1
        name = f"{self.name}-{self._number}"
        try:
            job = self._job(name)
            await asyncio.wait_for(job.start(), CALL_SECONDS)
        except (RuntimeError, ValueError, OSError, TimeoutError, SettingsError) as error:
            self._failed_starts += await self._answers()  # a batch system that is not there may come back
            self.problem = f"cannot submit a job: {' '.join(str(error).split())}"
            logger.error("%s: %s", self.name, self.problem)
            return False
        self._jobs[name] = _Running(job, now)
        logger.info("%s: job %s submitted", name, job.job_id)
        return True

    async def _answers(self) -> bool:
        if self._system is None:
            return True
        return await listed(self._system) is not None

    def _job(self, name: str) -> Job | LocalJob:
        address = str(self._scheduler.address)
        if self._system is None:
            return LocalJob(self.level, self.place, scheduler=address, name=name)
        return batch_job(self.profile, self.level, self.place, scheduler=address, name=name, memory=self.memory)

    async def _surplus(self, now: float, wanted: int) -> list[str]:
        """Choose jobs to give back that have been too many for a while: those that wait in the queue, then idle ones."""
        self._too_many_since = (self._too_many_since or now) if len(self._jobs) > wanted else None
        if self._too_many_since is None or now - self._too_many_since < self._limits.idle:
            return []
        waiting = [name for name, one in self._jobs.items() if not one.connected]
        idle = [
            name
            for name, one in self._jobs.items()
            if one.idle_since is not None and now - one.idle_since >= self._limits.idle
        ]
        return [*reversed(waiting), *idle][: max(0, len(self._jobs) - wanted)]

    async def _give_back(self, name: str, *, closing: bool = False) -> None:
        worker = next((one for one in self._scheduler.workers.values() if str(one.name) == name), None)
        if worker is not None and worker.processing and not closing:
            return  # it was given work meanwhile
        one = self._jobs.pop(name)
        self._ended[name] = one.job.job_id
        address = None if worker is None else worker.address
        with contextlib.suppress(Exception):
            if address is not None:
                await self._scheduler.retire_workers(workers=[address], close_workers=True, stimulus_id="given-back")
        if self._system is None:
            await one.job.close()
        else:
            self._leaving[one.job.job_id] = 0
            if not closing:  # all at once
                await asyncio.to_thread(request_end, self._system, [one.job.job_id])
        logger.info("%s: job %s given back", name, one.job.job_id)
