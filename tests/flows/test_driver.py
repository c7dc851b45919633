"""Counting the units of a run."""

import pytest

from defect_surrogate.relaxation import Unit
from flows.driver import Count, count_units
from flows.run_folder import create_run


@pytest.fixture
def run(tmp_path, host_file, settings):
    return create_run(tmp_path / "run", str(host_file), settings)


def test_a_single_unit_is_counted_in_numbers(run, cluster_crystal):
    unit = Unit("CdTe", "bulk", "Host", "reference", cluster_crystal, "method")
    run.note_units([unit])
    (count,) = count_units(run)
    assert str(count) == str(Count("CdTe/bulk", "reference", total=1, finished=0, failed=0, running=0))
    with run.archive.attempt(unit):
        assert count_units(run)[0].running == 1
    run.archive.record_failure(unit, RuntimeError("broke"))
    assert str(count_units(run)[0]) == str(Count("CdTe/bulk", "reference", total=1, finished=0, failed=1, running=0))
