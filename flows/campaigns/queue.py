"""Runs of a campaign that the service was given: those that wait or run, and the one that ended last."""

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled

DEPLOYMENT = "run-campaign/campaign"
"""Of campaigns, as Prefect names it: flow and deployment."""
RESUMED_WITHIN = timedelta(hours=1)
"""What has crashed for longer is not resumed any more (our choice; the server takes a quarter of one at most)."""


def tags_of(campaign: str) -> list[str]:
    """Return the tags of the runs of a campaign that was submitted."""
    return [f"campaign:{campaign}"]


def open_runs(client: SyncPrefectClient, campaign: str) -> list[FlowRun]:
    """Return the runs of a campaign that wait or run, those that were started from the form among them."""
    return _runs(client, campaign, [state for state in StateType if state not in TERMINAL_STATES])


def latest_end(client: SyncPrefectClient, campaign: str) -> str:
    """Return what is the same until a run that was submitted ends: the id of the state of the last; empty if none has ended."""
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=tags_of(campaign)), state=_in(list(TERMINAL_STATES)))
    ended = client.read_flow_runs(flow_run_filter=tagged, sort=FlowRunSort.END_TIME_DESC, limit=1)
    return str(ended[0].state_id) if ended else ""


def end_waiting(client: SyncPrefectClient, campaign: str) -> int:
    """Cancel the runs of a campaign that have not begun, or have crashed and are to be resumed; return how many."""
    waiting, now = _runs(client, campaign, [StateType.SCHEDULED, StateType.PENDING]), datetime.now(UTC)
    crashed = _runs(client, campaign, [StateType.CRASHED])
    waiting += [one for one in crashed if one.end_time is not None and now - one.end_time < RESUMED_WITHIN]
    for one in waiting:
        client.set_flow_run_state(one.id, Cancelled(message="Ended on request while it waited."), force=True)
    return len(waiting)


def _runs(client: SyncPrefectClient, campaign: str, states: list[StateType]) -> list[FlowRun]:
    """Return the runs of a campaign in some states, the latest first."""
    found = client.read_flow_runs(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[DEPLOYMENT.partition("/")[2]])),
        flow_run_filter=FlowRunFilter(state=_in(states)),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
    )
    return [one for one in found if one.parameters.get("campaign", {}).get("name") == campaign]


def _in(states: list[StateType]) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=states))
