"""A flow run that crashed is begun again a few times, and what it left open is told to Prefect."""

import uuid
from types import SimpleNamespace

import pytest
from prefect.client.schemas.objects import StateType

from defect_surrogate.errors import ServiceError
from flows import resumed
from flows.resumed import MOST_RUNS, begin_again


class Server:
    """In place of Prefect's: flow runs below others, and what they are set to."""

    def __init__(self, below):
        self.below, self.set, self.asked = below, [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read_flow_runs(self, flow_run_filter):
        self.asked.append(set(flow_run_filter.state.type.any_))
        (parent,) = flow_run_filter.parent_flow_run_id.any_
        return [SimpleNamespace(id=one) for one in self.below.get(parent, [])]

    def set_flow_run_state(self, number, state, *, force):
        assert force
        self.set.append((number, state.type))


@pytest.fixture
def flow_run(monkeypatch):
    """Puts this process into a flow run that was begun so many times."""

    def make(count, below=None, number=None):
        server = Server(below or {})
        monkeypatch.setattr(resumed, "get_client", lambda **_: server)
        monkeypatch.setattr(resumed.flow_run, "get_id", lambda: None if number is None else str(number))
        monkeypatch.setattr(resumed.flow_run, "get_run_count", lambda: count)
        return server

    return make


@pytest.mark.parametrize(("count", "number"), [(0, None), (5, None), (1, uuid.uuid4())])
def test_outside_a_flow_and_in_a_first_run_nothing_is_asked(flow_run, count, number):
    server = flow_run(count, number=number)
    begin_again()
    assert server.asked == []


def test_what_an_earlier_run_left_open_counts_as_crashed_innermost_first(flow_run, caplog):
    top, host, other, relaxing = (uuid.uuid4() for _ in range(4))
    server = flow_run(2, {top: [host, other], host: [relaxing]}, top)
    with caplog.at_level("WARNING"):
        begin_again()
    assert server.set == [(one, StateType.CRASHED) for one in (relaxing, host, other)]
    assert all(asked == {StateType.RUNNING, StateType.PENDING, StateType.SCHEDULED} for asked in server.asked)
    assert "resumed: run 2 of this flow run" in caplog.text


def test_what_crashes_again_and_again_is_given_up(flow_run):
    top, child = uuid.uuid4(), uuid.uuid4()
    flow_run(MOST_RUNS, number=top)
    begin_again()
    server = flow_run(MOST_RUNS + 1, {top: [child]}, top)
    with pytest.raises(ServiceError, match=f"has crashed {MOST_RUNS} times"):
        begin_again()
    assert server.set == [(child, StateType.CRASHED)]
