"""Flow runs whose process is gone: known at once where the only worker of the pool is of this machine."""

import logging
import os

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

logger = logging.getLogger(__name__)

VARIABLE = "PREFECT__FLOW_RUN_ID"
"""In the environment of the process of a flow run."""


def crash_lost_runs(client: SyncPrefectClient) -> int:
    """Mark runs of deployments as crashed that no process of this machine runs; an automation then resumes them.

    Parameters
    ----------
    client
        Of the server. No worker of another machine may have runs of it.

    Returns
    -------
    int
        How many they were.
    """
    open_runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(is_null_=False),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])),
        )
    )
    alive = _alive()
    lost = [one for one in open_runs if str(one.id) not in alive]
    for one in lost:
        logger.warning("%s: its process is gone", one.name)
        client.set_flow_run_state(one.id, Crashed(message="Its process was lost with the service."), force=True)
    return len(lost)


def _alive() -> set[str]:
    """Return the ids of the flow runs of which a process of this user lives."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.environ().get(VARIABLE, ""))
        except psutil.Error:
            continue
    return found
