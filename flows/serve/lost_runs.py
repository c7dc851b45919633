"""Flow runs whose process is gone: known at once where the only worker of the pool is of this machine."""

import logging

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import AwaitingRetry

logger = logging.getLogger(__name__)

VARIABLE = "PREFECT__FLOW_RUN_ID"
"""In the environment of the process of a flow run, and of all that it starts."""
ENGINE = "prefect.engine"
"""In the command line of the process of a flow run."""


def resume_lost_runs(client: SyncPrefectClient) -> None:
    """Have runs of deployments begun again that no process of this machine runs.

    The automation that resumes what crashed is not asked: it waits a quarter of an hour where the server was lost before it had
    taken in all that happened.

    Parameters
    ----------
    client
        Of the server. No worker of another machine may have runs of it.
    """
    open_runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(is_null_=False),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])),
        )
    )
    alive = set(living_runs().values())
    for one in (one for one in open_runs if str(one.id) not in alive):
        logger.warning("%s: its process is gone", one.name)
        client.set_flow_run_state(one.id, AwaitingRetry(message="Its process was lost with the service."))


def living_runs() -> dict[int, str]:
    """Return the flow runs whose processes live on this machine.

    Returns
    -------
    dict of int to str
        Id of the flow run by that of its process.
    """
    found = {}
    for process in psutil.process_iter():
        try:
            if ENGINE in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process.environ().get(VARIABLE, "")
        except psutil.Error:  # it has ended, or is another user's
            continue
    return found
