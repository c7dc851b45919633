"""Ending a campaign on request: from the command line, or by a run that is cancelled in Prefect's dashboard.

A request is the file ``STOP`` in the archive, which everything that works on it looks at; of a folder that shares its archive
with others, in that folder. The driver then gives nothing out any more, ends what is on its way, and its workers with their
jobs. What relaxations on their way have done is kept.
"""

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Cancelled

from defect_surrogate.errors import ServiceError, StoppedError
from flows.cluster.serve import JOBS, cancel_left_jobs
from flows.lock import is_free
from flows.sweep_folder import open_any

logger = logging.getLogger(__name__)

_cancelled: set[UUID] = set()
"""Runs of this process that were cancelled in Prefect."""

PATIENCE = 300.0
"""Longest wait for the end of a driver (our choice)."""
ASKED_EVERY = 5.0
"""Seconds between two questions to Prefect whether the run was cancelled (our choice)."""


def cancel_run(path: Path) -> list[str]:
    """End what works in a folder, and cancel the jobs that a driver which is gone has left.

    Parameters
    ----------
    path
        Folder of a search, a sweep, a campaign or ``build-dataset``.

    Returns
    -------
    list of str
        Ids of the jobs that had been left.

    Raises
    ------
    InputError
        If it is none of these.
    ServiceError
        If the driver has not ended in time; it may be on another machine.
    """
    folder = open_any(path)
    folder.request_stop()
    began = time.monotonic()
    while not is_free(path):
        if time.monotonic() - began > PATIENCE:
            raise ServiceError(f"{path}: was told to end, and has not in {PATIENCE:.0f} s")
        time.sleep(0.5)
    places = {file.parent for pattern in (f"workers/{JOBS}", f"*/*/workers/{JOBS}") for file in path.glob(pattern)}
    return [job for place in sorted(places) for job in asyncio.run(cancel_left_jobs(place))]


@contextlib.contextmanager
def cancellable(stop: Callable[[], None]) -> Iterator[None]:
    """Have a flow end when its run is cancelled in Prefect, also where no Prefect worker started it.

    Parameters
    ----------
    stop
        Requests the end of what the flow does; called once, in another thread.

    Raises
    ------
    StoppedError
        As the flow does; its run then counts as cancelled.
    """
    run_id = flow_run.get_id()
    if run_id is None:  # not in a flow
        yield
        return
    number = UUID(run_id)
    over, cancelled = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(ASKED_EVERY):
            with contextlib.suppress(Exception), get_client(sync_client=True) as client:  # asked again soon
                state = client.read_flow_run(number).state
                if state is not None and (state.is_cancelling() or state.is_cancelled()):
                    cancelled.set()
                    logger.warning("cancelled in Prefect: what is on its way ends, and is kept")
                    stop()
                    return

    context = contextvars.copy_context()  # has the address of the server; without, Prefect would start another one
    threading.Thread(target=context.run, args=(watch,), daemon=True).start()
    try:
        yield
    except StoppedError:
        if cancelled.is_set():
            _cancelled.add(number)
        raise
    finally:
        over.set()


@contextlib.contextmanager
def cancellation_told() -> Iterator[None]:
    """Have runs that were ended on request in Prefect count as cancelled; to be entered around the call of a flow.

    Prefect's engine would leave them cancelling: it tells the server of the error that ended them, and that is refused.
    """
    try:
        yield
    finally:
        for number in _cancelled:
            with contextlib.suppress(Exception), get_client(sync_client=True) as client:
                client.set_flow_run_state(number, Cancelled(), force=True)
        _cancelled.clear()
