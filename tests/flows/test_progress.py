"""Lines a person can follow."""

import math
import threading
import time
from types import SimpleNamespace
from uuid import UUID

import pytest

from flows import progress as module
from flows.progress import finished_line, printable, progress


@pytest.mark.parametrize(("energy", "shown"), [(-142.2149, "-142.215 eV"), (math.nan, "no energy")])
def test_line_of_a_unit(energy, shown):
    relaxation = SimpleNamespace(energy=energy, reason="converged", steps=212)
    line = finished_line("CdTe/v_Cd_0/Dimer/surrogate", relaxation, done=3, total=15)
    assert line == f"CdTe/v_Cd_0/Dimer/surrogate converged, {shown}, 212 steps, 3 of 15"


@pytest.mark.parametrize(
    ("text", "shown"), [("CdTe ä", "CdTe ä"), ("a\x1b[2J\nb", r"a\x1b[2J\nb"), ("\u202e", r"\u202e"), ("", "")]
)
def test_control_characters_are_shown(text, shown):
    assert printable(text) == shown


class Dashboard:
    """In place of Prefect's: what was posted, and how often it was tried."""

    def __init__(self):
        self.posted, self.tries, self.away, self.slow = [], 0, 0, threading.Event()
        self.slow.set()

    def post(self, percent, description):
        self.tries += 1
        self.slow.wait(20)
        if self.tries <= self.away:
            raise OSError("the server is away")
        self.posted.append((round(percent), description))
        return UUID(int=1)


@pytest.fixture
def dashboard(monkeypatch):
    one = Dashboard()
    monkeypatch.setattr("prefect.runtime.flow_run.get_id", lambda: "flow run")
    monkeypatch.setattr("prefect.artifacts.create_progress_artifact", one.post)
    monkeypatch.setattr(
        "prefect.artifacts.update_progress_artifact", lambda _, *posted, **words: one.post(*posted, **words)
    )
    monkeypatch.setattr(module, "POSTED_EVERY", 0.02)
    return one


def test_how_far_it_is_is_posted_at_once_now_and_then_and_at_the_end(dashboard):
    with progress("CdTe · 200 relaxations", 200) as advance:
        time.sleep(0.05)
        for _ in range(100):
            advance()
            time.sleep(0.001)
        advance(99)
        advance()
    assert dashboard.posted[0] == (0, "CdTe · 200 relaxations: 0 of 200")
    assert dashboard.posted[-1] == (100, "CdTe · 200 relaxations: 200 of 200")
    assert len(dashboard.posted) < 30
    assert sorted(dashboard.posted) == dashboard.posted


def test_a_server_that_is_away_is_asked_now_and_then_and_is_told_when_it_is_back(dashboard):
    dashboard.away = 3
    with progress("relaxations", 4) as advance:
        advance(2)
        time.sleep(0.2)
    assert dashboard.posted == [(50, "relaxations: 2 of 4")]
    assert dashboard.tries < 15


def test_a_server_that_does_not_answer_keeps_nothing_waiting(dashboard, monkeypatch):
    monkeypatch.setattr(module, "LAST_POST", 0.1)
    dashboard.slow.clear()
    began = time.monotonic()
    with progress("relaxations", 4) as advance:
        advance(4)
    assert time.monotonic() - began < 2
    dashboard.slow.set()


def test_outside_a_flow_and_without_units_nothing_is_posted(dashboard, monkeypatch):
    with progress("relaxations", 0) as advance:
        advance()
    monkeypatch.setattr("prefect.runtime.flow_run.get_id", lambda: None)
    with progress("relaxations", 3) as advance:
        advance(3)
    assert dashboard.tries == 0
