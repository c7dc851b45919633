"""What batch systems say of jobs."""

import pytest

from flows.cluster.batch_systems import BATCH_SYSTEMS, ask, state_in_log, walltime_text


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
