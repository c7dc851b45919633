"""The reference task: archive first, then VASP's files in a directory of the attempt, then the archive."""

import contextlib
import errno
import multiprocessing
import os
import signal
import threading
import time

import pytest

from defect_surrogate.archive import Archive, Driver
from defect_surrogate.errors import (
    ArchiveError,
    JobEndsError,
    ReferenceInputError,
    ReferenceInterruptedError,
    StoppedError,
)
from defect_surrogate.relaxation import Unit
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import reference_method
from tasks import reference
from tasks.job import JOB_ENDS
from tasks.reference import relax_reference_unit


def unit_and_method(structure, vasp_cmd=("vasp-xtb",), **incar):
    given = ReferenceSettings(defect_incar={"NSW": 0} | incar, vasp_cmd=list(vasp_cmd))
    method = reference_method(structure, given, cell="defect")
    return Unit("CdTe", "v_Cd_0", "Dimer", "reference", structure, method.digest), method


def test_files_of_the_calculation_are_archived(cluster_crystal, tmp_path, monkeypatch):
    unit, method = unit_and_method(cluster_crystal)
    relax_reference_unit.fn(unit, method, tmp_path)
    archive = Archive(tmp_path)
    assert archive.find(unit).reason == "step limit"
    assert {"POSCAR", "INCAR", "OUTCAR", "vasprun.xml"} <= {
        file.name for file in (archive.path(unit) / "files").iterdir()
    }
    assert archive.attempts() == ()
    monkeypatch.setattr(reference, "relax_with_vasp", lambda *_, **__: pytest.fail("relaxed again"))
    relax_reference_unit.fn(unit, method, tmp_path)


def test_missing_executable_is_an_input_error(cluster_crystal, tmp_path):
    unit, method = unit_and_method(cluster_crystal, vasp_cmd=["no-such-launcher", "vasp-xtb"])
    with pytest.raises(ReferenceInputError, match="no-such-launcher"):
        relax_reference_unit.fn(unit, method, tmp_path)
    assert Archive(tmp_path).find(unit) is None


def test_what_was_killed_goes_on_in_the_next_attempt_and_its_files_are_kept(cluster_crystal, tmp_path, monkeypatch):
    unit, method = unit_and_method(cluster_crystal, NSW=60)
    archive = Archive(tmp_path)
    monkeypatch.setenv("VASP_XTB_FAULT", "killed@5")
    with pytest.raises(ReferenceInterruptedError):
        relax_reference_unit.fn(unit, method, tmp_path)
    assert (archive.find(unit), len(archive.segment_paths(unit))) == (None, 1)
    assert archive.progress(unit) > 0
    monkeypatch.delenv("VASP_XTB_FAULT")
    relax_reference_unit.fn(unit, method, tmp_path)
    found, frames = archive.find(unit), archive.read_frames(unit)
    assert found.converged
    assert found.steps == len(frames) > 5
    assert "earlier runs" in found.detail
    assert {"OUTCAR", "vasprun.xml"} <= {file.name for file in (archive.path(unit) / "files" / "run-1").iterdir()}
    assert not list(archive.path(unit).rglob("POTCAR"))
    assert archive.segment_paths(unit) == []


def relaxed(*arguments):
    """What a process can be given."""
    relax_reference_unit.fn(*arguments)


def test_what_a_killed_worker_left_behind_goes_on_in_the_next_attempt(cluster_crystal, tmp_path, monkeypatch):
    """The worker, not the executable, is killed: nobody is there to keep what was done."""
    unit, method = unit_and_method(cluster_crystal, NSW=60)
    monkeypatch.setenv("VASP_XTB_FAULT", "hang@5")
    worker = multiprocessing.get_context("spawn").Process(target=relaxed, args=(unit, method, tmp_path))
    worker.start()
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("attempts/*/*/FAULTS")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    monkeypatch.delenv("VASP_XTB_FAULT")
    archive = Archive(tmp_path)
    archive.clear_dead_attempts()  # as every search begins with
    assert archive.segment_paths(unit) == []
    relax_reference_unit.fn(unit, method, tmp_path)
    assert archive.find(unit).converged
    assert (archive.path(unit) / "files" / "run-1" / "vasprun.xml").is_file()
    assert archive.attempts() == ()


def test_a_run_ends_with_the_driver_that_gave_it_out_and_is_kept(cluster_crystal, tmp_path, monkeypatch):
    """Dask has forgotten it, and nobody waits for it: on shared workers it would go on for days."""
    unit, method = unit_and_method(cluster_crystal, NSW=60)
    monkeypatch.setenv("VASP_XTB_FAULT", "hang@5")
    monkeypatch.setattr("defect_surrogate.vasp.run.MONITORING_STAND_IN", 1.0)
    archive, broke = Archive(tmp_path), []

    def run(driver):
        try:
            relax_reference_unit.fn(unit, method, tmp_path, driver=driver)
        except StoppedError as error:
            broke.append(error)

    with Driver(archive.root) as driver:
        worker = threading.Thread(target=run, args=(driver.name,))
        worker.start()
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("attempts/*/*/FAULTS")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(archive.begun(unit, driver.name)) == 1
        assert archive.begun(unit, "another") == frozenset()
    worker.join(timeout=60)
    assert len(broke) == 1
    assert len(archive.segment_paths(unit)) == 1


def test_what_a_full_disk_keeps_from_being_kept_goes_on_when_there_is_room(cluster_crystal, tmp_path, monkeypatch):
    unit, method = unit_and_method(cluster_crystal, NSW=60)
    monkeypatch.setenv("VASP_XTB_FAULT", "killed@5")
    with monkeypatch.context() as full:
        full.setattr(
            "defect_surrogate.archive.segments.write_frames",
            lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        )
        with pytest.raises(ArchiveError, match="No space left"):
            relax_reference_unit.fn(unit, method, tmp_path)
    monkeypatch.delenv("VASP_XTB_FAULT")
    archive = Archive(tmp_path)
    assert archive.segment_paths(unit) == []
    archive.clear_dead_attempts()
    relax_reference_unit.fn(unit, method, tmp_path)
    assert "earlier runs" in archive.find(unit).detail
    assert archive.attempts() == ()


def test_of_two_runs_from_one_start_the_second_is_not_put_after_the_first(cluster_crystal, tmp_path, monkeypatch):
    """Two workers with one unit, which cannot see each other: both are interrupted, and one is kept."""
    unit, method = unit_and_method(cluster_crystal, NSW=60)
    monkeypatch.setenv("VASP_XTB_FAULT", "killed@5")
    archive = Archive(tmp_path)
    earlier = reference.read_segments
    with pytest.raises(ReferenceInterruptedError):
        relax_reference_unit.fn(unit, method, tmp_path)
    monkeypatch.setattr(reference, "read_segments", lambda *_: ())  # began when there was none
    with pytest.raises(ReferenceInterruptedError):
        relax_reference_unit.fn(unit, method, tmp_path)
    assert len(archive.segment_paths(unit)) == 1
    monkeypatch.setattr(reference, "read_segments", earlier)
    monkeypatch.delenv("VASP_XTB_FAULT")
    relax_reference_unit.fn(unit, method, tmp_path)
    assert archive.find(unit).steps == len(archive.read_frames(unit))


def test_a_damaged_segment_is_moved_aside_and_the_relaxation_begins_anew(cluster_crystal, tmp_path, monkeypatch):
    unit, method = unit_and_method(cluster_crystal, NSW=60)
    archive = Archive(tmp_path)
    monkeypatch.setenv("VASP_XTB_FAULT", "killed@5")
    with pytest.raises(ReferenceInterruptedError):
        relax_reference_unit.fn(unit, method, tmp_path)
    monkeypatch.delenv("VASP_XTB_FAULT")
    (segment,) = archive.segment_paths(unit)
    frames = segment / "frames.extxyz"
    frames.write_bytes(frames.read_bytes()[:-200])
    relax_reference_unit.fn(unit, method, tmp_path)
    assert "earlier runs" not in archive.find(unit).detail
    assert len(list((tmp_path / "rejected").iterdir())) == 1


def test_nothing_is_begun_shortly_before_the_end_of_the_job(cluster_crystal, tmp_path, monkeypatch):
    unit, method = unit_and_method(cluster_crystal)
    monkeypatch.setenv(JOB_ENDS, str(int(time.time()) + 30))
    with pytest.raises(JobEndsError, match="not begun"):
        relax_reference_unit.fn(unit, method, tmp_path, margin=60.0)
    assert Archive(tmp_path).attempts() == ()


def test_a_relaxation_longer_than_its_jobs_ends_over_several(cluster_crystal, tmp_path, monkeypatch):
    slow = {"NSW": 300, "IBRION": 3, "POTIM": 0.02, "EDIFFG": -0.1}
    unit, method = unit_and_method(cluster_crystal, **slow)
    archive, jobs = Archive(tmp_path), 0
    while archive.find(unit) is None:
        jobs += 1
        assert jobs < 20
        monkeypatch.setenv(JOB_ENDS, str(int(time.time()) + 6))
        with contextlib.suppress(JobEndsError):
            relax_reference_unit.fn(unit, method, tmp_path, margin=4.0)
        assert len(archive.segment_paths(unit)) == (jobs if archive.find(unit) is None else 0)
    found = archive.find(unit)
    assert jobs > 1
    assert found.converged
    assert found.steps == len(archive.read_frames(unit))
    energies = [frame.energy for frame in archive.read_frames(unit)]
    assert min(energies) == pytest.approx(energies[-1], abs=1e-3)
