"""What becomes of the units given to Dask workers.

Dask hides from Prefect that a worker died, and gives up with ``KilledWorker``, which only ``Future.result`` shows. ``outcomes``
therefore takes every result, and says in our own words what broke. It keeps no more groups of units in flight than there are
workers: Dask blames the death of a worker on every task that was queued there, so that one unit which kills its workers would
otherwise take others down with it. The others of its own group it does take down, and these are then given out one by one.
"""

import contextlib
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass

import distributed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker
from prefect_dask.task_runners import PrefectDaskFuture

from defect_surrogate.errors import ClusterLostError, WorkerLostError
from flows.waiting import Group, Waiting

Submit = Callable[[Group], PrefectDaskFuture[None]]

WAIT_SECONDS = 0.5
"""Longest wait for the end of a group before it is asked whether a worker is free for another one."""


@dataclass(frozen=True)
class Outcome:
    """What became of a group of units.

    Attributes
    ----------
    group
        The units.
    error
        That the work on them broke with; None if all are in the archive.
    worker
        Name of the worker that was lost with them, if one was.
    """

    group: Group
    error: Exception | None
    worker: str = ""


def outcomes(waiting: Waiting, submit: Submit) -> Iterator[Outcome | None]:
    """Submit groups of units, one for each free worker, and yield what becomes of each, in the order they end.

    Parameters
    ----------
    waiting
        What is to be relaxed; more can be added until the last outcome was taken.
    submit
        Submits one group to the task runner of the flow that is running.

    Yields
    ------
    Outcome or None
        One for each group; None every half a second in which no group ended.

    Raises
    ------
    ClusterLostError
        If the Dask scheduler is lost, and with it all groups in flight.
    """
    running: dict[distributed.Future, tuple[Group, PrefectDaskFuture[None]]] = {}
    ended: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
    try:
        while waiting or running:
            while (group := waiting.take()) is not None:
                try:
                    future = submit(group)
                except Exception as error:
                    waiting.ended(group, lost=False)
                    raise ClusterLostError(f"{group[0].unit.name}: cannot be given to a worker: {error}") from error
                running[future.wrapped_future] = (group, future)
                future.wrapped_future.add_done_callback(ended.put)
            try:
                one = ended.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                yield None
                continue
            outcome = _outcome(*running[one])
            del running[one]
            waiting.ended(outcome.group, lost=bool(outcome.worker))
            yield outcome
    finally:
        for unfinished, (group, _) in running.items():
            waiting.ended(group, lost=False)
            if unfinished.client.status == "running":  # of a scheduler that is gone one would wait for long
                with contextlib.suppress(Exception):
                    unfinished.cancel()


def _outcome(group: Group, future: PrefectDaskFuture[None]) -> Outcome:
    name = group[0].unit.name
    try:
        future.result()
    except KilledWorker as error:
        worker = str(error.last_worker.name)
        return Outcome(group, WorkerLostError(f"{name}: its worker {worker} was lost"), worker)
    except (CommClosedError, CancelledError, FutureCancelledError) as error:
        raise ClusterLostError(f"{name}: the connection to the Dask scheduler was lost: {error}") from error
    except Exception as error:
        return Outcome(group, error)
    return Outcome(group, None)
