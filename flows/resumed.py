"""What a flow run does first that was run before: a crash is resumed by Prefect as another run of the same flow run."""

import logging
import os
import time
from collections.abc import Iterator
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.runtime import flow_run
from prefect.states import Crashed

from defect_surrogate.errors import ServiceError
from flows.serve.lost_runs import living_runs

logger = logging.getLogger(__name__)

MOST_RUNS = 20
"""Times that a flow run is begun, planned ends of the worker among them; what crashes as often is not resumed (our choice)."""

LOOKED_EVERY = 10.0
"""Seconds between two looks whether an earlier process lives (our choice)."""

_OPEN = [StateType.RUNNING, StateType.PENDING, StateType.SCHEDULED]


def begin_again() -> None:
    """Have what an earlier run of this flow run left open in Prefect count as crashed; nothing for a first run.

    If its process lives after all, since the server was away and did not hear so, its end is awaited.

    Raises
    ------
    ServiceError
        If it crashed too often.
    """
    number, count = flow_run.get_id(), flow_run.get_run_count()
    if number is None or count < 2:
        return
    while any(run == number and process != os.getpid() for process, run in living_runs().items()):
        logger.warning("the process of this flow run lives: its end is awaited")
        time.sleep(LOOKED_EVERY)
    with get_client(sync_client=True) as client:
        for left in _open_runs_in(UUID(number), client):
            message = "Its process was lost; the flow run that it was part of goes on with a new one."
            client.set_flow_run_state(left.id, Crashed(message=message), force=True)
    if count > MOST_RUNS:
        raise ServiceError(f"this flow run has crashed {count - 1} times: see its logs, and those of the worker")
    logger.warning("resumed: run %d of this flow run; what is in the archive is not computed again", count)


def _open_runs_in(parent: UUID, client: SyncPrefectClient) -> Iterator[FlowRun]:
    """Yield the runs below a flow run that have not ended, innermost first."""
    children = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_OPEN)),
        )
    )
    for child in children:
        yield from _open_runs_in(child.id, client)
        yield child
