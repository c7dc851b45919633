"""kill -9 of driver, worker and executable in the middle of a search: nothing is lost, run twice, half believed or orphaned."""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_search import Search, wait_until

pytestmark = pytest.mark.timeout(600)


@dataclass
class Story:
    """What happened: the driver is killed among the surrogate units; in the resumed run a worker and an executable are."""

    search: Search
    before: dict[str, tuple[int, int]]
    orphans: list[str]
    survivors: dict[str, tuple[int, int]]
    relaxed: set[str]
    code: int
    report: dict[str, Any]
    killed: list[str]


def kill(process: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


def frozen_executable(search: Search) -> psutil.Process | None:
    """A vasp-xtb of the search that has begun its work, stopped so that it cannot end before it is killed."""
    for process in search.processes():
        try:
            if any("vasp-xtb" in word for word in process.cmdline()):
                process.suspend()
                if unit_of(process) and busy_worker(process):
                    return process
        except (psutil.Error, OSError, AssertionError):
            with contextlib.suppress(psutil.Error):
                process.resume()
    return None


def busy_worker(executable: psutil.Process) -> psutil.Process:
    """The Dask worker that waits for an executable."""
    parent = executable.parent()
    assert parent is not None
    assert "spawn_main" in " ".join(parent.cmdline())
    return parent


def unit_of(executable: psutil.Process) -> str:
    """Name of the unit an executable works on."""
    note = json.loads((Path(executable.cwd()).parent / "attempt.json").read_text())
    return str(note["unit"])


@pytest.fixture(scope="module")
def story(tiny_search: Search) -> Story:
    driver = tiny_search.search()
    wait_until(
        lambda: len(tiny_search.finished()) >= 2 or driver.poll() is not None, seconds=300, what="two units finished"
    )
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    try:
        wait_until(lambda: not tiny_search.processes(), seconds=60, what="processes gone")
    finally:
        orphans = [" ".join(process.cmdline()) for process in tiny_search.processes()]
    before = tiny_search.finished()
    assert before, tiny_search.log.read_text()

    driver = tiny_search.resume()
    killed = []
    for choose in (lambda running: running, busy_worker):
        executable = None
        deadline = time.monotonic() + 300
        while executable is None:
            assert driver.poll() is None, tiny_search.log.read_text()
            assert time.monotonic() < deadline, "no executable began"
            executable = frozen_executable(tiny_search)
            time.sleep(0.02)
        killed.append(unit_of(executable))
        kill(choose(executable))
        with contextlib.suppress(psutil.Error):
            executable.resume()
        wait_until(lambda pid=executable.pid: not psutil.pid_exists(pid), seconds=60, what="the executable's end")
    output, _ = driver.communicate(timeout=400)
    return Story(
        search=tiny_search,
        before=before,
        orphans=orphans,
        survivors=tiny_search.finished(),
        relaxed=tiny_search.relaxed_now(),
        code=driver.returncode,
        report=json.loads(output),
        killed=killed,
    )


def test_killed_driver_leaves_no_process(story: Story) -> None:
    assert story.orphans == []


def test_no_finished_unit_runs_again(story: Story) -> None:
    assert {name: story.survivors.get(name) for name in story.before} == story.before
    assert not set(story.before) & story.relaxed


def test_no_unit_is_lost(story: Story) -> None:
    (host,) = story.report["hosts"]
    (vacancy,) = host["vacancies"]
    reported = {f"CdTe/v_Cd_0/{one['label']}/{one['level']}" for one in vacancy["relaxations"]}
    assert reported == set(story.survivors) == set(story.before) | story.relaxed
    assert len(vacancy["relaxations"]) == vacancy["sampling_structures"] + vacancy["reference_relaxations"]
    assert vacancy["failures"] == []
    assert story.code == 0


def test_units_of_killed_worker_and_executable_are_done_in_the_end(story: Story) -> None:
    assert len(story.killed) == 2
    assert set(story.killed) <= set(story.survivors)


def test_nothing_half_written_is_believed_or_left(story: Story) -> None:
    archive = story.search.folder / "archive"
    assert list((archive / "rejected").iterdir()) == []
    assert list((archive / "failures").rglob("*.json")) == []
    for unit in (archive / "units").glob("*/*/*/*/*"):
        manifest = json.loads((unit / "unit.json").read_text())
        assert all((unit / name).stat().st_size == file["bytes"] for name, file in manifest["files"].items())
    assert story.search.processes() == []


def test_resuming_a_finished_search_starts_no_worker_and_runs_nothing(story: Story) -> None:
    driver = story.search.resume()
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, story.search.log.read_text()
    assert story.search.relaxed_now() == set()
    assert story.search.finished() == story.survivors
    assert json.loads(output)["hosts"] == story.report["hosts"]
