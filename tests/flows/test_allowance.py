"""What a night may spend is never exceeded, and known after a restart; no damage of its note ends anything."""

import errno
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defect_surrogate.relaxation import Unit
from flows import allowance as module
from flows.allowance import Allowance, Spent

BERLIN = ZoneInfo("Europe/Berlin")


def unit(name="Dimer", key="key", host="CdTe"):
    """A unit, as far as an allowance looks at it."""
    return SimpleNamespace(name=f"{host}/v_Cd_0/{name}/reference", key=key)


class Clock:
    """A time of day, and seconds that pass."""

    def __init__(self, time=datetime(2026, 11, 28, 20, tzinfo=BERLIN)):
        self.time, self.seconds = time, 1000.0

    def pass_by(self, seconds):
        self.seconds += seconds

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    one = Clock()
    monkeypatch.setattr(module.time, "monotonic", one.monotonic)
    return one


@pytest.fixture
def make(tmp_path, clock):
    """Makes the allowance of a campaign, or makes it again as a restarted process does."""
    return lambda relaxations=None, core_hours=None: Allowance(
        tmp_path / "spent.json", relaxations=relaxations, core_hours=core_hours, now=lambda: clock.time
    )


def test_so_many_relaxations_begin_and_no_more(make):
    one = make(2)
    assert [one.begin(unit(name), 1) for name in "abc"] == [True, True, False]
    assert not one.has_room()
    assert not one.has_room(unit("c"))
    assert one.has_room(unit("a"))
    one.end(unit("a"))
    assert not one.begin(unit("c"), 1)  # an end gives nothing back
    assert one.spent == Spent("2026-11-28", 2, 0.0)


def test_without_limits_all_is_counted_and_nothing_refused(make, clock):
    one = make()
    assert all(one.begin(unit(str(number)), 4) for number in range(30))
    clock.pass_by(3600)
    assert one.spent == Spent("2026-11-28", 30, 120.0)
    assert not one.is_spent()


def test_a_unit_that_is_tried_again_counts_once_also_after_a_restart(make):
    one = make(1)
    assert one.begin(unit(), 1)
    one.end(unit())
    assert one.begin(unit(), 1)
    again = make(1)
    assert again.begin(unit(), 1)
    assert not again.begin(unit("other"), 1)


def test_two_units_of_one_key_are_two_relaxations(make, cluster_crystal):
    """The same crystal in two files."""
    units = [Unit(host, "v_Cd_0", "Dimer", "reference", cluster_crystal, "m") for host in ("CdTe", "Copy")]
    assert units[0].key == units[1].key
    one = make(1)
    assert [one.begin(each, 1) for each in units] == [True, False]


def test_core_hours_are_cores_times_time_of_what_runs_and_what_has_ended(make, clock):
    one = make(core_hours=10)
    one.begin(unit("a"), 4)
    clock.pass_by(3600)
    one.begin(unit("b"), 2)
    one.end(unit("a"))
    one.end(unit("a"))
    one.end(unit("never begun"))
    clock.pass_by(3600)
    assert one.spent.core_hours == 6.0
    assert not one.is_spent()
    clock.pass_by(2 * 3600)
    assert one.is_spent()
    assert not one.has_room()
    assert not one.begin(unit("b"), 2)  # nor does one go on


def test_a_restart_knows_the_core_hours_of_what_had_ended_and_most_of_what_ran(make, clock):
    one = make(core_hours=10)
    one.begin(unit("a"), 36)
    clock.pass_by(600)
    one.end(unit("a"))
    one.begin(unit("b"), 36)
    for _ in range(6):
        clock.pass_by(module.NOTED_EVERY + 1)
        assert not one.is_spent()
    assert make(core_hours=10).spent.core_hours == pytest.approx(6 + 36 * 186 / 3600)
    clock.pass_by(module.NOTED_EVERY - 1)
    assert not one.is_spent()
    assert one.spent.core_hours - make(core_hours=10).spent.core_hours < 36 * module.NOTED_EVERY / 3600


def test_a_night_is_from_noon_to_noon_and_what_runs_at_noon_counts_in_both(make, clock):
    one = make(2, core_hours=10)
    one.begin(unit("a"), 1)
    one.begin(unit("b"), 1)
    one.end(unit("b"))
    clock.pass_by(3600)
    clock.time = datetime(2026, 11, 29, 11, 59, 59, tzinfo=BERLIN)
    assert not one.has_room()
    clock.time = datetime(2026, 11, 29, 12, tzinfo=BERLIN)
    assert one.spent == Spent("2026-11-29", 1, 0.0)
    assert [one.begin(unit(name), 1) for name in "bc"] == [True, False]
    clock.pass_by(1800)
    assert one.spent.core_hours == 1.0
    assert make(2).spent.relaxations == 2


@pytest.mark.parametrize(
    ("time", "night"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=BERLIN), "2026-03-28"),
        (datetime(2026, 3, 29, 1, 59, tzinfo=BERLIN), "2026-03-28"),
        (datetime(2026, 3, 29, 3, tzinfo=BERLIN), "2026-03-28"),  # the next minute: clocks are put forward
        (datetime(2026, 3, 29, 11, 59, 59, tzinfo=BERLIN), "2026-03-28"),
        (datetime(2026, 3, 29, 12, tzinfo=BERLIN), "2026-03-29"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), "2026-10-24"),
        (datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN), "2026-10-24"),  # an hour later: they are put back
        (datetime(2026, 10, 25, 11, 59, 59, tzinfo=BERLIN), "2026-10-24"),
        (datetime(2026, 10, 25, 12, tzinfo=BERLIN), "2026-10-25"),
        (datetime(2027, 1, 1, 3, tzinfo=BERLIN), "2026-12-31"),
    ],
)
@pytest.mark.parametrize("fixed", [False, True])
def test_the_night_is_that_of_the_clock_also_where_it_is_changed(make, clock, time, night, fixed):
    clock.time = time.astimezone(BERLIN)
    if fixed:  # as the machine's clock gives it: with the offset of that moment
        clock.time = clock.time.replace(tzinfo=None, fold=0).replace(
            tzinfo=datetime.fromisoformat(clock.time.isoformat()).tzinfo
        )
    assert make().spent.night == night


def test_the_clock_is_that_of_the_machine(tmp_path):
    before = (datetime.now() - timedelta(hours=12)).date()
    night = Allowance(tmp_path / "spent.json", relaxations=None, core_hours=None).spent.night
    assert night in {before.isoformat(), (datetime.now() - timedelta(hours=12)).date().isoformat()}


STEP = st.tuples(st.sampled_from(["begin", "end", "restart", "ask", "noon"]), st.integers(0, 6))


@settings(deadline=None)  # files are written
@given(most=st.integers(1, 4), steps=st.lists(STEP, max_size=40))
def test_in_no_order_of_events_more_begin_in_a_night(tmp_path_factory, most, steps):
    time, file = [datetime(2026, 11, 28, 20, tzinfo=UTC)], tmp_path_factory.mktemp("night") / "spent.json"

    def made():
        return Allowance(file, relaxations=most, core_hours=None, now=lambda: time[0])

    one, begun, running = made(), set(), set()
    for what, number in steps:
        each = unit(str(number))
        if what == "begin":
            room = one.has_room(each)
            assert one.begin(each, 1) == room == (number in begun or len(begun) < most)
            begun |= {number} if room else set()
            running |= {number} if room else set()
        elif what == "end":
            one.end(each)
            running.discard(number)
        elif what == "restart":
            one, running = made(), set()
        elif what == "noon":
            time[0] += timedelta(days=1)
            begun = set(running)
        assert one.spent.relaxations == len(begun) <= most


def test_of_many_that_ask_at_once_so_many_begin(make):
    one = make(7)
    with ThreadPoolExecutor(8) as threads:
        began = list(threads.map(lambda number: one.begin(unit(str(number % 40)), 1), range(200)))
    assert one.spent.relaxations == 7
    assert len({number % 40 for number, ok in enumerate(began) if ok}) == 7


DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    "7",
    "{}",
    '{"night": "2026-11-28"}',
    '{"night": "2026-11-28", "units": 3, "core_seconds": 0}',
    '{"night": "2026-11-28", "units": [1, "a"], "core_seconds": 0}',
    '{"night": "2026-11-28", "units": [["a"]], "core_seconds": 0}',
    '{"night": "2026-11-28", "units": [], "core_seconds": NaN}',
    '{"night": "2026-11-28", "units": [], "core_seconds": -1}',
    '{"night": "2026-11-28", "units": [], "core_seconds": 1e999}',
    '{"night": "2026-11-28", "units": [], "core_seconds": 1' + "0" * 400 + "}",
    '{"night": 5, "units": [], "core_seconds": 0}',
]


@pytest.mark.parametrize("damage", [*DAMAGED, b"\xff\xfe", "folder"])
def test_a_damaged_note_is_forgotten_and_said(make, tmp_path, damage, caplog):
    file = tmp_path / "spent.json"
    if damage == "folder":
        file.mkdir()
    else:
        file.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    one = make(1, core_hours=1)
    assert "what it counted is forgotten" in caplog.text
    assert [one.begin(unit(name), 1) for name in "ab"] == [True, False]
    if damage != "folder":
        assert make(1).spent.relaxations == 1


def test_a_full_disk_is_said_and_what_was_spent_still_counts(make, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "replace_file", full)
    one = make(2)
    assert [one.begin(unit(name), 1) for name in "abc"] == [True, True, False]
    one.end(unit("a"))
    assert "is not noted: [Errno 28] No space left on device" in caplog.text


def test_a_note_of_another_night_does_not_count(make, tmp_path):
    note = {"night": "2026-11-27", "units": ["a", "b"], "core_seconds": 1e6}
    (tmp_path / "spent.json").write_text(json.dumps(note))
    assert make(1, core_hours=1).has_room()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, "1 reference relaxations and 123 core-hours in the night of 2026-11-28"),
        ({"relaxations": 40}, "1 of 40 reference relaxations and 123 core-hours in the night of 2026-11-28"),
        ({"core_hours": 1500.5}, "1 reference relaxations and 123 of 1500.5 core-hours in the night of 2026-11-28"),
    ],
)
def test_what_was_spent_is_said_in_numbers_that_can_be_read(make, clock, limits, words):
    one = make(**limits)
    one.begin(unit(), 100)
    clock.pass_by(3600 * 1.23456)
    assert one.words() == words
