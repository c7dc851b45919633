"""A search that is cancelled in Prefect leaves no process; from the command line, and resumed: test_slurm."""

import contextlib
import sqlite3
import time
import urllib.error

import pytest
from tiny_search import wait_until

from tests.prefect_api import ask

pytestmark = pytest.mark.timeout(600)


def told(search, variable: str) -> str:
    """What a process of the search was told."""
    wait_until(search.processes, seconds=60, what="a process")
    for _ in range(200):
        for process in search.processes():
            if value := process.environ().get(variable):
                return value
        time.sleep(0.1)
    raise AssertionError(f"no process knows {variable}")


def test_cancelled_in_prefect_it_ends_counts_as_cancelled_and_keeps_what_is_finished(tiny_search):
    driver = tiny_search.search()
    url, password = told(tiny_search, "PREFECT_API_URL"), told(tiny_search, "PREFECT_SERVER_API_AUTH_STRING")
    wait_until(lambda: tiny_search.finished() or driver.poll() is not None, seconds=300, what="a finished unit")
    running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "flows": {"name": {"any_": ["search-host"]}}}
    with pytest.raises(urllib.error.HTTPError, match="401"):  # another user of the machine
        ask(f"{url}/flow_runs/filter", running)
    (run,) = ask(f"{url}/flow_runs/filter", running, password)
    ask(f"{url}/flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING"}}, password)
    assert driver.wait(timeout=120) == 130, tiny_search.log.read_text()
    assert "cancelled in Prefect" in tiny_search.log.read_text()
    wait_until(lambda: not tiny_search.processes(), seconds=30, what="no process")
    with contextlib.closing(sqlite3.connect(tiny_search.folder / "prefect" / "prefect.db")) as database:
        states = dict(database.execute("select id, state_type from flow_run"))
    assert states[run["id"]] == "CANCELLED"
    assert tiny_search.finished()
