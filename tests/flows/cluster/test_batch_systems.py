"""How batch systems write walltimes and list jobs."""

import pytest

from flows.cluster.batch_systems import BATCH_SYSTEMS, walltime_text


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
