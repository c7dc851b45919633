"""A group's service on PostgreSQL: many campaigns at once; a night in which the database goes away, and then the power."""

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import yaml
from group import Group
from postgres import PostgreSQL
from tiny_search import wait_until

from defect_surrogate.archive import find_rows
from defect_surrogate.archive.failures import DROPPED
from flows.campaigns.folder import ServiceFolder
from flows.campaigns.history import Entry, read_history

pytestmark = pytest.mark.timeout(900)

OUTAGE = 60.0
"""Seconds that the database is away."""
NIGHT = "night"
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        server.create_database("prefect")
        server.create_database("units")
        yield server


@pytest.fixture(scope="module")
def group(database: PostgreSQL, tmp_path_factory) -> Iterator[Group]:
    variables = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.asyncpg_url("prefect"),
        "DEFECT_SURROGATE_INDEX": database.url("units"),
    }
    with Group(tmp_path_factory.mktemp("group"), variables) as group:
        yield group


@contextmanager
def asked_meanwhile(group: Group) -> Iterator[list[float]]:
    """Seconds that the server takes to list flow runs, asked five times a second."""
    seconds: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.2):
            began = time.monotonic()
            group.runs(limit=50)
            seconds.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seconds
    finally:
        over.set()
        thread.join()


def test_twenty_campaigns_submitted_at_once_by_several_processes_are_each_there_once(group):
    names = [f"campaign-{letter}" for letter in "abcdefghijklmnopqrst"]
    for name in names:
        group.host(name)
        group.campaign(name, hosts=[f"hosts/{name}.vasp"])
    group.prefect("work-pool", "pause", "defect-surrogate")  # so that none has ended before another is submitted again
    orders = [names[:10], names[9::-1], names[10:], names[:9:-1]]

    with asked_meanwhile(group) as seconds, ThreadPoolExecutor(len(orders)) as threads:
        said = list(threads.map(lambda order: group.submit(*(group.root / f"{name}.yaml" for name in order)), orders))
    assert [one.returncode for one in said] == [0] * len(orders), [one.stderr for one in said]
    runs = group.runs(flow_runs={"tags": {"all_": ["campaign"]}})
    assert sorted(run["parameters"]["campaign"]["name"] for run in runs) == names
    assert statistics.median(seconds) < 1.0
    assert max(seconds) < 15.0
    for run in runs:  # benchmarks/service.py runs them
        group.ask(f"flow_runs/{run['id']}/set_state", state={"type": "CANCELLED"}, force=True)
    group.prefect("work-pool", "resume", "defect-surrogate")


@dataclass
class Night:
    """What was there at the turns of a night."""

    group: Group
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    cut: str = ""

    def begun_before_the_cut(self) -> list[dict]:
        """Flow runs that had begun when the power went."""
        return [run for run in self.group.runs() if run["start_time"] is not None and run["start_time"] < self.cut]

    @property
    def entries(self) -> list[Entry]:
        """Runs of the campaign as its history has them."""
        return read_history(ServiceFolder(self.group.root).campaign(NIGHT))


@pytest.fixture(scope="module")
def night(group: Group, database: PostgreSQL) -> Night:
    """A campaign that a schedule starts; the database goes away for a minute, then the power; the schedule goes on."""
    for name in ("CdTe", "CdTe_strained"):
        group.host(name)
    content = {"hosts": [f"../hosts/{name}.vasp" for name in ("CdTe", "CdTe_strained")]}
    (group.root / "campaigns" / f"{NIGHT}.yaml").write_text(
        yaml.safe_dump(content | {"settings": group.slow_settings(6)})
    )
    group.prefect(
        "deployment",
        "schedule",
        "create",
        "nightly/nightly",
        "--cron",
        "* * * * *",
        "--timezone",
        "Europe/London",
    )
    found = Night(group)
    wait_until(group.reference_units, seconds=240, what="the schedule has started the campaign")
    database.stop()
    time.sleep(OUTAGE)
    found.before = group.units()
    database.start()
    wait_until(lambda: len(group.units()) > len(found.before), seconds=120, what="it goes on when the database is back")
    found.before, found.cut = group.units(), datetime.now(UTC).isoformat()
    group.kill()
    group.start()
    wait_until(
        lambda: any(one.ended for one in found.entries), seconds=300, what="the campaign was resumed and has ended"
    )
    found.after = group.units()
    number = found.entries[-1].number
    wait_until(
        lambda: any(one.number > number and one.ended for one in found.entries), seconds=150, what="it runs again"
    )
    return found


def test_a_night_loses_nothing_and_computes_nothing_twice(night, group):
    assert night.before
    assert night.before.items() <= night.after.items()
    assert not (group.root / "archive" / DROPPED).exists()
    last = night.entries[-1]
    assert [one.state for one in last.hosts] == ["as before"] * 2
    assert group.units() == night.after


def test_a_night_leaves_no_wrong_state(night, group):
    """What the power cut left open has ended: resumed, or marked as crashed where it was part of what was resumed."""

    def has_ended(run: dict) -> bool:
        if run["state"]["type"] == "CRASHED":
            return "goes on with a new one" in run["state"]["message"]
        return run["state"]["type"] in ENDED

    def open_runs() -> list[str]:
        return [run["name"] for run in night.begun_before_the_cut() if not has_ended(run)]

    wait_until(lambda: not open_runs(), seconds=180, what="all that was begun before the power cut has ended")
    ended = [one for one in night.entries if one.ended]
    assert {one.state for entry in ended for one in entry.hosts} <= {"finished", "as before"}


def test_the_index_has_what_the_archive_has(night, group, monkeypatch):
    monkeypatch.setenv("DEFECT_SURROGATE_INDEX", group.variables["DEFECT_SURROGATE_INDEX"])
    rows = find_rows(group.root / "archive", limit=1000)
    assert len(rows) == len(group.units())
