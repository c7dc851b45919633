"""What a night may spend is kept to the unit, by many hosts at once and after a restart; the rest is left for another night."""

import errno
import json
import time
from datetime import datetime, timedelta

import pytest

from flows import allowance

UNPERTURBED = "v_Cd_0/Unperturbed/reference"


@pytest.fixture
def clock(monkeypatch):
    """Sets the time of the machine."""
    zone = datetime.now().astimezone().tzinfo

    class Clock(datetime):
        time = datetime(2026, 11, 28, 20, tzinfo=zone)

        @classmethod
        def now(cls, *_):
            return cls.time

    monkeypatch.setattr(allowance, "datetime", Clock)
    return Clock


def test_what_breaks_is_told_once_and_does_not_eat_the_budget_night_after_night(group, clock):
    group.host("CdTe")
    group.workers.broken = {f"CdTe/{UNPERTURBED}"}
    names = []
    for _ in range(4):
        names.append(group.run(try_again=False, budget={"reference_relaxations": 1}).name)
        clock.time += timedelta(days=1)
    assert len(group.workers.taken()) == 3
    assert (group.last().hosts[0].failed, group.last().hosts[0].unfinished) == (1, 0)
    assert names == ["With failures", "Budget spent", "Completed", "Nothing to do"]
    told = [name.rpartition(".")[2] for name, _ in group.events]
    assert [name for name in told if name.startswith("ended")] == ["ended-with-failures", *["ended"] * 3]


@pytest.mark.parametrize(("at_once", "most"), [(1, 4), (3, 2), (3, 4)])
def test_a_budget_of_relaxations_is_kept_to_the_unit_night_after_night(group, clock, at_once, most):
    for name in ("Aa", "Bb", "Cc"):
        group.host(name)  # one crystal: these are three hosts all the same
    begun, nights = [], 0
    group.workers.flaky = {f"Bb/{UNPERTURBED}"}  # tried again, it counts once
    while True:
        state = group.run(budget={"reference_relaxations": most}, hosts_at_once=at_once)
        tonight = group.workers.taken()
        assert len(set(tonight)) == min(most, 9 - len(set(begun)))
        assert f"{len(set(tonight))} of {most} reference relaxations" in state.message
        assert all(one.failed == 0 for one in group.last().hosts)
        begun += tonight
        nights += 1
        if state.name == "Completed":
            break
        assert state.name == "Budget spent"
        assert "budget" in group.states().values()
        assert group.run(budget={"reference_relaxations": most}, hosts_at_once=at_once).name == "Budget spent"
        assert group.workers.begun == []  # the same night is not begun twice
        clock.time += timedelta(days=1)
    assert len(set(begun)) == 9
    assert nights == -(-9 // most)
    assert len(begun) == 10


def test_surrogate_relaxations_do_not_count(group):
    group.host("CdTe")
    group.run(budget={"reference_relaxations": 1})
    assert len(group.workers.taken("surrogate")) == 2


def test_a_process_that_was_killed_has_spent_what_it_began(group, clock):
    group.host("CdTe")

    def die(work):
        if work.unit.level == "reference":
            raise KeyboardInterrupt

    group.workers.at_work = die
    with pytest.raises(KeyboardInterrupt):
        group.run(budget={"reference_relaxations": 2})
    group.workers.at_work = lambda _: None
    before = set(group.workers.taken())
    assert len(before) == 2
    assert group.last().ended is None
    assert group.run(budget={"reference_relaxations": 2}).name == "Budget spent"
    assert set(group.workers.taken()) == before  # they go on; no third one begins
    clock.time += timedelta(days=1)
    assert group.run(budget={"reference_relaxations": 2}).name == "Completed"
    assert len(group.workers.taken()) == 1


@pytest.mark.parametrize("at_once", [1, 2])
def test_core_hours_end_what_runs_and_the_rest_is_left_for_another_night(group, clock, at_once):
    for number, name in enumerate(("Aa", "Bb")):
        group.host(name, 12.0 + 0.1 * number)
    group.workers.at_work = lambda work: time.sleep(0.08) if work.unit.level == "reference" else None
    budget = {"budget": {"core_hours": 0.1 / 3600}, "hosts_at_once": at_once}
    state = group.run(**budget)
    assert state.name == "Budget spent"
    assert set(group.states().values()) == {"budget"}
    assert sum(one.finished for one in group.last().hosts) < 10
    assert group.archive.failures() == ()
    group.workers.taken()
    assert group.run(**budget).name == "Budget spent"
    assert group.workers.begun == []
    group.workers.at_work = lambda _: None
    clock.time += timedelta(days=1)
    assert group.run(hosts_at_once=at_once).name == "Completed"
    assert sum(one.finished for one in group.last().hosts) == 10


@pytest.mark.parametrize("damage", ["{", '{"night": "2026-11-28", "units": [1, "a"], "core_seconds": 1}', "[]"])
def test_a_damaged_note_of_what_was_spent_does_not_end_the_campaign(group, damage):
    group.host("CdTe")
    group.folder().path.mkdir(parents=True)
    group.folder().spent.write_text(damage)
    assert group.run(budget={"reference_relaxations": 3}).name == "Completed"
    assert len(json.loads(group.folder().spent.read_text())["units"]) == 3


def test_a_full_disk_under_the_note_of_what_was_spent_does_not_end_the_campaign(group, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(allowance, "replace_file", full)
    group.host("CdTe")
    assert group.run(budget={"reference_relaxations": 2}).name == "Budget spent"
    assert len(group.workers.taken()) == 2
