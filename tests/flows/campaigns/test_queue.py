"""Which runs of a campaign the server is asked for, and which it is told to end."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from prefect.client.schemas.objects import TERMINAL_STATES, StateType

from flows.campaigns.queue import end_waiting, latest_end, open_runs, tags_of


def a_run(number, kind, campaign="tellurides", ended=None):
    return SimpleNamespace(
        id=number, kind=kind, parameters={"campaign": {"name": campaign}}, end_time=ended, state_id=f"state-{number}"
    )


class Server:
    """In place of a Prefect server: flow runs, the latest first; it notes what it is told."""

    def __init__(self, *runs):
        self.runs, self.told, self.asked = runs, {}, []

    def read_flow_runs(self, *, flow_run_filter, sort, deployment_filter=None, limit=None):
        self.asked.append((flow_run_filter, sort, deployment_filter))
        return [one for one in self.runs if one.kind in flow_run_filter.state.type.any_][:limit]

    def set_flow_run_state(self, number, state, *, force):
        assert force
        self.told[number] = state.type


def test_runs_are_open_until_they_are_in_a_terminal_state():
    server = Server(*(a_run(kind.value, kind) for kind in StateType), a_run("other", StateType.RUNNING, "selenides"))
    waiting = {one.kind for one in open_runs(server, "tellurides")}
    assert waiting == set(StateType) - TERMINAL_STATES
    assert {one.id for one in open_runs(server, "selenides")} == {"other"}


def test_what_tells_one_submission_from_the_next_is_the_end_of_a_run_and_not_their_number():
    """Old runs can be deleted."""
    assert latest_end(Server(), "tellurides") == ""
    server = Server(a_run(2, StateType.CRASHED), a_run(1, StateType.COMPLETED))
    assert latest_end(server, "tellurides") == "state-2"
    ((asked, sort, _),) = server.asked
    assert (asked.tags.all_, sort) == (tags_of("tellurides"), "END_TIME_DESC")
    assert latest_end(Server(a_run(2, StateType.CRASHED)), "tellurides") == "state-2"


@pytest.mark.parametrize("kind", StateType)
def test_what_waits_or_is_to_be_resumed_is_ended_and_what_runs_ends_by_itself(kind):
    now = datetime.now(UTC)
    server = Server(
        a_run("mine", kind, ended=now - timedelta(minutes=3)),
        a_run("other", kind, "selenides", now),
        a_run("old", StateType.CRASHED, ended=now - timedelta(days=1)),
    )
    waits = kind in (StateType.SCHEDULED, StateType.PENDING, StateType.CRASHED)
    assert end_waiting(server, "tellurides") == int(waits)
    assert server.told == ({"mine": StateType.CANCELLED} if waits else {})
