"""A flow whose run is cancelled in Prefect; from the command line, with real processes: tests/services."""

import contextlib
import threading
import uuid
from types import SimpleNamespace

import pytest
from prefect.states import Cancelling, Running

from defect_surrogate.errors import StoppedError
from flows import cancel
from flows.cancel import cancellable, cancellation_told


class Server:
    """In place of a Prefect server: the state of the run, and what it is told."""

    def __init__(self):
        self.states, self.told = [Running()], []

    @contextlib.contextmanager
    def client(self, **_):
        yield self

    def read_flow_run(self, number):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return SimpleNamespace(state=state)

    def set_flow_run_state(self, number, state, *, force):
        self.told.append((str(number), state.name, force))


@pytest.fixture
def server(monkeypatch):
    one = Server()
    monkeypatch.setattr(cancel, "get_client", one.client)
    monkeypatch.setattr(cancel, "ASKED_EVERY", 0.01)
    return one


@pytest.fixture
def number(monkeypatch):
    own = str(uuid.uuid4())
    monkeypatch.setattr(cancel.flow_run, "get_id", lambda: own)
    return own


def work(stopped):
    """What a flow does: it goes on until it is stopped."""
    assert stopped.wait(10)
    raise StoppedError("stopped on request, 3 left")


def test_a_run_that_is_cancelled_ends_and_counts_as_cancelled(server, number):
    server.states = [Running(), ConnectionError("the server is away"), Cancelling()]
    stopped = threading.Event()
    with pytest.raises(StoppedError), cancellation_told(), cancellable(stopped.set):
        work(stopped)
    assert server.told == [(number, "Cancelled", True)]
    with cancellation_told():
        pass
    assert len(server.told) == 1  # once


def test_what_is_stopped_otherwise_is_not_told_as_cancelled(server, number):
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(StoppedError), cancellation_told(), cancellable(lambda: pytest.fail("nobody cancelled it")):
        work(stopped)
    assert server.told == []


def test_outside_of_a_flow_nobody_is_asked(server, monkeypatch):
    monkeypatch.setattr(cancel.flow_run, "get_id", lambda: None)
    with cancellable(lambda: pytest.fail("nobody can cancel it")):
        pass
    assert len(server.states) == 1
