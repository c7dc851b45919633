"""What batch systems say of jobs, and jobs cancelled until they are gone."""

import asyncio
from types import SimpleNamespace

import pytest

from flows.cluster import queue as module
from flows.cluster.batch_systems import BatchSystem
from flows.cluster.queue import ask, cancel, state_in_log, still_listed


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("slurmstepd: error: StepId=16.batch exceeded memory limit (1574854656 > 1200619520)", "OUT_OF_MEMORY"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch.", "OUT_OF_MEMORY"),
        ("TERM_MEMLIMIT: job killed after reaching LSF memory usage limit.", "OUT_OF_MEMORY"),
        ("=>> PBS: job killed: mem 5243712kb exceeded limit 4194304kb", "OUT_OF_MEMORY"),
        ("slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-11-28T13:00:43 DUE TO TIME LIMIT ***", "TIMEOUT"),
        ("TERM_RUNLIMIT: job killed after reaching LSF run time limit.", "TIMEOUT"),
        ("=>> PBS: job killed: walltime 3630 exceeded limit 3600", "TIMEOUT"),
        ("slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-11-28T13:00:43 DUE TO PREEMPTION ***", "PREEMPTED"),
        ("Killed", ""),
        ("", ""),
    ],
)
def test_ends_of_jobs_are_read_from_their_logs(text, state):
    assert state_in_log(text) == state


def test_a_batch_system_that_does_not_answer_says_nothing_about_jobs():
    assert ask(["false"]) is None
    assert ask(["no-such-command"]) is None
    assert ask(["true"]) == ""


CANCEL = """#!/usr/bin/env python3
import pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "asked").open("a") as asked:
    print(*sys.argv[1:], file=asked)
if len((here / "asked").read_text().splitlines()) > {deaf}:
    left = [job for job in (here / "queue").read_text().split() if job not in sys.argv[1:]]
    (here / "queue").write_text("\\n".join(left))
"""


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Makes a batch system that does not hear the first requests to cancel jobs."""
    monkeypatch.setattr(module, "CANCELLED_AGAIN", 0.01)
    monkeypatch.setattr(module, "ASKED_AGAIN", 0.01)

    def make(*jobs, deaf=0, command="cat"):
        (tmp_path / "queue").write_text("\n".join(jobs))
        (tmp_path / "cancel").write_text(CANCEL.format(deaf=deaf))
        (tmp_path / "cancel").chmod(0o755)
        job = SimpleNamespace(cancel_command=str(tmp_path / "cancel"))
        return BatchSystem(
            job, lambda *_: {}, lambda _user: (command, str(tmp_path / "queue")), lambda text: set(text.split())
        )

    return make


def test_jobs_are_cancelled_until_they_are_gone(system, tmp_path):
    left = asyncio.run(cancel(system("17", "18", "99", deaf=1), ["17", "18", "3", "--all"], seconds=10.0))
    assert left == set()
    assert (tmp_path / "queue").read_text() == "99"  # of somebody else
    assert (tmp_path / "asked").read_text().splitlines()[:2] == ["17 18 3", "17 18 3"]  # by one command


def test_jobs_that_stay_are_told(system):
    assert asyncio.run(cancel(system("17", "18", deaf=1000), ["17"], seconds=0.05)) == {"17"}
    silent = system("17", command="false")  # says nothing of the jobs
    assert asyncio.run(cancel(silent, ["17"], seconds=0.05)) == {"17"}


def test_one_empty_answer_is_not_believed():
    missed = still_listed({"17": 0, "18": 0}, {"18"})
    assert missed == {"17": 1, "18": 0}
    assert still_listed(missed, {"17"}) == {"17": 0, "18": 1}
    assert still_listed(missed, set()) == {"18": 1}
