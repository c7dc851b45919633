"""Searches side by side: one that is lost ends no other, and a request to stop ends all."""

import contextvars
import threading
import time

import pytest

from defect_surrogate.errors import HostError, StoppedError
from flows.side_by_side import side_by_side


@pytest.fixture
def run():
    """Searches what has names by a function, and returns what was lost, and what has begun."""

    def make(search, *, names="abcd", at_once=1):
        begun, stops = [], []

        def noted(name):
            begun.append(name)
            search(name)

        try:
            lost = side_by_side(names, noted, what="host", at_once=at_once, request_stop=lambda: stops.append(True))
        except BaseException as error:
            lost = error
        return lost, begun, stops

    return make


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_what_is_lost_is_told_by_name_and_ends_no_other(run, at_once):
    def search(name):
        if name in "bc":
            raise (HostError if name == "b" else ValueError)(f"{name} is odd")

    lost, begun, stops = run(search, at_once=at_once)
    assert lost == {"b": "HostError: b is odd", "c": "ValueError: c is odd"}
    assert sorted(begun) == list("abcd")
    assert stops == []


@pytest.mark.parametrize(
    ("error", "at_once"), [(StoppedError("stopped"), 1), (StoppedError("stopped"), 2), (KeyboardInterrupt(), 1)]
)
def test_a_stop_begins_nothing_new_and_asks_those_beside_it_to_end(run, at_once, error):
    def search(name):
        if name == "a":
            raise error
        time.sleep(0.1)

    ended, begun, stops = run(search, at_once=at_once)
    assert ended is error
    assert len(begun) <= at_once
    assert stops == [True] * (at_once > 1)


def test_no_more_than_asked_for_run_at_once_and_in_order(run):
    lock, running, most = threading.Lock(), [0], [0]

    def search(_name):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    lost, begun, _ = run(search, names="abcdefgh", at_once=3)
    assert lost == {}
    assert most == [3]
    assert begun[:3] == list("abc")


@pytest.mark.parametrize("at_once", [1, 3])
def test_each_has_what_the_flow_around_it_gives(run, at_once):
    given = contextvars.ContextVar("given", default=None)
    given.set("workers")
    seen = []
    run(lambda _: seen.append(given.get()), at_once=at_once)
    assert seen == ["workers"] * 4


@pytest.mark.parametrize("at_once", [1, 3])
def test_nothing_to_search_is_nothing_lost(run, at_once):
    assert run(pytest.fail, names="", at_once=at_once) == ({}, [], [])
