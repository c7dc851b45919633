"""Runs of a campaign that the service was given: those that wait or run, and how many have ended."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType


def tags_of(campaign: str) -> list[str]:
    """Return the tags of the runs of a campaign that was submitted."""
    return [f"campaign:{campaign}"]


def open_runs(client: SyncPrefectClient, campaign: str) -> list[FlowRun]:
    """Return the runs of a campaign that wait or run."""
    states = [state for state in StateType if state not in TERMINAL_STATES]
    return client.read_flow_runs(flow_run_filter=_of(campaign, states))


def ended_count(client: SyncPrefectClient, campaign: str) -> int:
    """Count the runs of a campaign that have ended."""
    return int(client.count_flow_runs(flow_run_filter=_of(campaign, list(TERMINAL_STATES))))


def _of(campaign: str, states: list[StateType]) -> FlowRunFilter:
    return FlowRunFilter(
        tags=FlowRunFilterTags(all_=tags_of(campaign)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
    )
