"""Dask workers of the two resource classes on this machine, and what becomes of the units given to them.

Dask hides from Prefect that a worker died: it runs the task again elsewhere and, after ``allowed-failures`` deaths, gives up
with ``KilledWorker``, which only ``Future.result`` shows. ``outcomes`` therefore takes every result, and says in our own words
what broke. It keeps no more units in flight than there are workers: Dask blames the death of a worker on every task that was
queued there, so that one unit which kills its workers would otherwise take others down with it.
"""

import contextlib
import logging
import queue
from collections.abc import Callable, Iterator, Sequence
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
from defect_surrogate.relaxation import Relaxation
from flows.hosts import Work

Submit = Callable[[Work], PrefectDaskFuture[Relaxation]]


@dataclass(frozen=True)
class Outcome:
    """What became of a unit.

    Attributes
    ----------
    work
        The unit.
    result
        Its relaxation, or the error that its work broke with.
    """

    work: Work
    result: Relaxation | Exception


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


def outcomes(works: Sequence[Work], submit: Submit, *, in_flight: int) -> Iterator[Outcome]:
    """Submit units and yield what becomes of each, in the order they end.

    Parameters
    ----------
    works
        What is to be relaxed.
    submit
        Submits one unit to the task runner of the flow that is running.
    in_flight
        Most units submitted and not ended: the number of workers.

    Yields
    ------
    Outcome
        One for each unit. A worker's death or a lost connection is a ``ServiceError``.
    """
    waiting = list(reversed(works))
    running: dict[distributed.Future, tuple[Work, PrefectDaskFuture[Relaxation]]] = {}
    ended: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
    try:
        while waiting or running:
            while waiting and len(running) < in_flight:
                work = waiting.pop()
                future = submit(work)
                running[future.wrapped_future] = (work, future)
                future.wrapped_future.add_done_callback(ended.put)
            yield _outcome(*running.pop(ended.get()))
    finally:
        for unfinished in running:
            with contextlib.suppress(Exception):
                unfinished.cancel()


def _outcome(work: Work, future: PrefectDaskFuture[Relaxation]) -> Outcome:
    try:
        return Outcome(work, future.result())
    except KilledWorker:
        return Outcome(work, ServiceError(f"{work.unit.name}: its worker process died at every attempt; given up"))
    except (CommClosedError, CancelledError, FutureCancelledError) as error:
        return Outcome(work, ServiceError(f"{work.unit.name}: the connection to its worker was lost: {error}"))
    except Exception as error:
        return Outcome(work, error)
