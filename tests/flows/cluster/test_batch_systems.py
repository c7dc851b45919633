"""What batch systems say of jobs."""

import asyncio

import pytest

from flows.cluster import batch_systems
from flows.cluster.batch_systems import BATCH_SYSTEMS, BatchSystem, ask, cancel, state_in_log, walltime_text


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


@pytest.mark.parametrize(
    ("scheduler", "output", "ids"),
    [
        ("slurm", "123\n124\n", {"123", "124"}),
        ("pbs", "123.server\n124[].server\n", {"123", "124"}),
        ("sge", "job-ID  prior   name\n-----\n   17 0.5 defect-sur me r 11/28/2026\n", {"17"}),
        ("lsf", "991\n992\n", {"991", "992"}),
        ("slurm", "", set()),
    ],
)
def test_queues_are_read(scheduler, output, ids):
    assert BATCH_SYSTEMS[scheduler].read_jobs(output) == ids


def test_walltimes_are_written_as_each_reads_them():
    assert [walltime_text(90061, one) for one in ("slurm", "pbs", "lsf")] == ["25:01:01", "25:01:01", "25:02"]


def test_a_batch_system_that_does_not_answer_says_nothing_about_jobs():
    assert ask(["false"]) is None
    assert ask(["no-such-command"]) is None
    assert ask(["true"]) == ""


class Forgetful:
    """Jobs of a batch system that does not hear the first request to cancel one."""

    cancel_command = "cancel"

    def __init__(self, queue, deaf=1):
        self._queue, self._deaf, self.asked = queue, deaf, []

    async def _close_job(self, job, _command):
        self.asked.append(job)
        if len(self.asked) > self._deaf:
            left = [one for one in self._queue.read_text().split() if one != job]
            self._queue.write_text("\n".join(left))


def system_of(queue, job, command="cat"):
    return BatchSystem(job, lambda *_: {}, lambda _user: (command, str(queue)), lambda text: set(text.split()))


def test_jobs_are_cancelled_until_they_are_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_systems, "CANCELLED_AGAIN", 0.01)
    (queue := tmp_path / "queue").write_text("17\n18\n99")
    job = Forgetful(queue)
    left = asyncio.run(cancel(system_of(queue, job), ["17", "18", "3", "--all"], seconds=10.0))
    assert left == set()
    assert queue.read_text() == "99"  # of somebody else
    assert "3" not in job.asked  # gone already


def test_jobs_that_stay_are_told(tmp_path):
    (queue := tmp_path / "queue").write_text("17\n18")
    job = Forgetful(queue, deaf=1000)
    assert asyncio.run(cancel(system_of(queue, job), ["17"], seconds=0.0)) == {"17"}
    silent = system_of(tmp_path / "none", job)  # which says nothing of the jobs
    assert asyncio.run(cancel(silent, ["17"], seconds=0.0)) == {"17"}
    assert job.asked == ["17", "17"]
