"""Counting the units of a run."""

import pytest

from defect_surrogate.relaxation import Unit
from flows.driver import Count, count_units, what_broke
from flows.run_folder import create_run
from flows.work_folder import WorkFolder


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


def test_of_what_broke_in_a_shared_archive_a_folder_has_its_own(tmp_path, cluster_crystal):
    folders = [WorkFolder(tmp_path / name, shared_archive=tmp_path / "archive") for name in ("one", "other")]
    units = [Unit(host, "bulk", "Host", "reference", cluster_crystal, "method") for host in ("CdTe", "CdSe")]
    for folder, unit in zip(folders, units, strict=True):
        folder.note_units([unit])
        folder.archive.record_failure(unit, RuntimeError("broke"))
        earlier = Unit(unit.host, "bulk", "Host", "reference", cluster_crystal, "another method")
        folder.archive.record_failure(earlier, RuntimeError("broke"))
    assert [(one.name, one.key) for one in what_broke(folders[0])] == [(units[0].name, units[0].key)]
    assert len(what_broke(WorkFolder(tmp_path))) == 4  # of an archive of its own all, those of earlier settings too
