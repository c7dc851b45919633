"""Dask workers of the two resource classes on this machine, and what becomes of the units given to them.

Dask hides from Prefect that a worker died: it runs the task again elsewhere and, after ``allowed-failures`` deaths, gives up
with ``KilledWorker``, which only ``Future.result`` shows. ``outcomes`` therefore takes every result, and says in our own words
what broke. It keeps no more groups of units in flight than there are workers: Dask blames the death of a worker on every task
that was queued there, so that one unit which kills its workers would otherwise take others down with it. The others of its own
group it does take down, and these are then given out one by one.
"""

import contextlib
import logging
import queue
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass

import dask
import distributed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker
from prefect_dask import DaskTaskRunner
from prefect_dask.task_runners import PrefectDaskFuture

from defect_surrogate.errors import ServiceError
from flows.hosts import Work

Group = tuple[Work, ...]
"""Units that one worker relaxes together, in one task."""

Submit = Callable[[Group], PrefectDaskFuture[None]]


@dataclass(frozen=True)
class Outcome:
    """What became of a group of units.

    Attributes
    ----------
    group
        The units.
    error
        That the work on them broke with; None if all are in the archive.
    """

    group: Group
    error: Exception | None


def local_workers(count: int, *, deaths_allowed: int) -> DaskTaskRunner:
    """Return a task runner with workers on this machine, which start with the first task given to it.

    Parameters
    ----------
    count
        Single-threaded worker processes; dead ones are replaced.
    deaths_allowed
        Workers that may die with one unit before it is given up at the next.

    Returns
    -------
    DaskTaskRunner
        It listens on the loopback interface only.
    """
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": deaths_allowed,
            "distributed.nanny.pre-spawn-environ.PYTHONWARNINGS": "ignore",
            "distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": "1",  # read by torch; the settings count processes
            # Dask has glibc give memory back early; of an evaluation's arrays that costs a quarter of its time
            "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": str(2**30),
            "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": str(2**25),  # the most that glibc takes
            "distributed.comm.timeouts.connect": "60s",
        }
    )
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return DaskTaskRunner(
        cluster_class=distributed.LocalCluster,
        cluster_kwargs={
            "n_workers": count,
            "threads_per_worker": 1,
            "processes": True,
            "host": "127.0.0.1",
            "dashboard_address": "127.0.0.1:0",
            "memory_limit": None,
            "silence_logs": logging.CRITICAL,
        },
    )


def outcomes(waiting: deque[Group], submit: Submit, *, in_flight: int) -> Iterator[Outcome]:
    """Submit groups of units and yield what becomes of each, in the order they end.

    Parameters
    ----------
    waiting
        What is to be relaxed; taken from the left. More can be added until the last outcome was taken.
    submit
        Submits one group to the task runner of the flow that is running.
    in_flight
        Most groups submitted and not ended: the number of workers.

    Yields
    ------
    Outcome
        One for each group. A worker's death or a lost connection is a ``ServiceError``.
    """
    running: dict[distributed.Future, tuple[Group, PrefectDaskFuture[None]]] = {}
    ended: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
    try:
        while waiting or running:
            while waiting and len(running) < in_flight:
                group = waiting.popleft()
                future = submit(group)
                running[future.wrapped_future] = (group, future)
                future.wrapped_future.add_done_callback(ended.put)
            group, future = running.pop(ended.get())
            yield Outcome(group, _error(group, future))
    finally:
        for unfinished in running:
            with contextlib.suppress(Exception):
                unfinished.cancel()


def _error(group: Group, future: PrefectDaskFuture[None]) -> Exception | None:
    name = group[0].unit.name
    try:
        future.result()
    except KilledWorker:
        return ServiceError(f"{name}: its worker process died at every attempt; given up")
    except (CommClosedError, CancelledError, FutureCancelledError) as error:
        return ServiceError(f"{name}: the connection to its worker was lost: {error}")
    except Exception as error:
        return error
    return None
