import dataclasses
import errno
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defect_surrogate.archive import Archive, finished, reindex
from defect_surrogate.errors import ArchiveError
from defect_surrogate.relaxation import Frame, Provenance, Relaxation, Unit


@pytest.fixture
def unit(cluster_crystal):
    return Unit("Cd4Te4", "v_Cd_0", "Bond_Distortion_-30.0%", "reference", cluster_crystal, "method")


def relaxation(structure, energy=-12.3456789, **changes):
    rng = np.random.default_rng(1)
    stress = rng.normal(size=(3, 3))
    frames = tuple(
        Frame(structure, energy + i, rng.normal(size=(len(structure), 3)), stress + stress.T) for i in (2, 1, 0)
    )
    provenance = Provenance("GFN1-xTB (stand-in)", "method", 1.5, 3, (("tblite", "0.8.0"),), ("POTIM 0.5 → 0.25",))
    content = {"steps": 2, "converged": True, "reason": "converged", "detail": "", "frames": frames} | changes
    return Relaxation(level="reference", structure=structure, energy=energy, provenance=provenance, **content)


def test_what_is_published_is_found_again(archive, unit):
    assert archive.find(unit) is None
    published = archive.publish(unit, relaxation(unit.structure))
    found = Archive(archive.root).find(unit)
    assert found == published
    assert found.energy == -12.3456789
    assert found.structure == unit.structure
    assert found.provenance == relaxation(unit.structure).provenance
    assert found.frames == ()


def test_what_a_file_system_shows_late_is_waited_for(archive, unit, monkeypatch):
    monkeypatch.setattr(finished, "LATE_SECONDS", 1.0)
    assert archive.find_late(unit) is None
    found, answers = archive.publish(unit, relaxation(unit.structure)), iter([None, None])
    monkeypatch.setattr(archive, "find", lambda one: next(answers, found) if one == unit else None)
    assert archive.find_late(unit) == found


def test_siblings_are_of_the_same_defect_and_level(archive, unit):
    changes = (
        {},
        {"label": "Dimer"},
        {"label": "Dimer", "method": "other"},
        {"defect": "v_Te_0"},
        {"level": "surrogate"},
    )
    units = [dataclasses.replace(unit, **change) for change in changes]
    for one in units:
        archive.publish(one, dataclasses.replace(relaxation(one.structure), level=one.level))
    assert [record.key for record in archive.siblings(unit)] == [
        one.key for one in sorted(units[:3], key=lambda one: str(archive.path(one)))
    ]
    but = {archive.path(units[0]), archive.path(units[1])}
    assert [record.key for record in archive.siblings(units[1], but=but)] == [units[2].key]
    assert list(archive.siblings(dataclasses.replace(unit, host="none"))) == []


def test_frames_come_back(archive, unit):
    original = relaxation(unit.structure)
    archive.publish(unit, original)
    frames = archive.read_frames(unit)
    assert [frame.energy for frame in frames] == pytest.approx([frame.energy for frame in original.frames], abs=1e-8)
    for read, written in zip(frames, original.frames, strict=True):
        np.testing.assert_allclose(read.forces, written.forces, atol=1e-8)
        np.testing.assert_allclose(read.stress, written.stress, atol=1e-8)
        np.testing.assert_allclose(read.structure.cart_coords, written.structure.cart_coords, atol=1e-7)


def test_a_diverged_relaxation_without_an_energy_is_kept(archive, unit):
    nan = float("nan")
    archive.publish(unit, relaxation(unit.structure, energy=nan, frames=(), converged=False, reason="diverged"))
    found = archive.find(unit)
    assert np.isnan(found.energy)
    assert not found.rankable
    assert archive.read_frames(unit) == ()


def test_other_inputs_are_other_units(archive, unit):
    archive.publish(unit, relaxation(unit.structure))
    assert archive.find(dataclasses.replace(unit, method="tighter")) is None
    assert archive.find(dataclasses.replace(unit, level="surrogate")) is None


def test_the_first_to_publish_wins(archive, unit):
    archive.publish(unit, relaxation(unit.structure, energy=-1.0))
    assert archive.publish(unit, relaxation(unit.structure, energy=-2.0)).energy == -1.0
    assert archive.find(unit).energy == -1.0
    assert list((archive.root / "attempts").iterdir()) == []


def _publish_many(root, unit, energy, barrier):
    barrier.wait()
    Archive(root).publish(unit, relaxation(unit.structure, energy=energy))


def test_of_many_at_once_one_is_published(archive, unit):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    workers = [context.Process(target=_publish_many, args=(archive.root, unit, -float(i), barrier)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(list(archive.records())) == 1
    assert list((archive.root / "attempts").iterdir()) == []


@pytest.mark.parametrize("name", ["unit.json", "frames.extxyz", "files/OUTCAR"])
@pytest.mark.parametrize("damage", ["truncate", "remove", "empty"])
def test_a_damaged_unit_is_not_believed(archive, unit, tmp_path, name, damage):
    (tmp_path / "calculation").mkdir()
    (tmp_path / "calculation" / "OUTCAR").write_text("vasp" * 100)
    archive.publish(unit, relaxation(unit.structure), files=tmp_path / "calculation")
    victim = archive.path(unit) / name
    if damage == "truncate":
        victim.write_bytes(victim.read_bytes()[:-20])
    elif damage == "empty":
        victim.write_bytes(b"")
    else:
        victim.unlink()
    assert archive.find(unit) is None
    assert len(list((archive.root / "rejected").iterdir())) == 1
    assert archive.publish(unit, relaxation(unit.structure)).energy == -12.3456789


def test_a_changed_number_is_not_believed(archive, unit):
    archive.publish(unit, relaxation(unit.structure))
    manifest = archive.path(unit) / "unit.json"
    manifest.write_text(manifest.read_text().replace("-12.3456789", "-92.3456789"))
    assert archive.find(unit) is None


def test_a_flipped_byte_is_seen_when_all_is_verified(archive, unit):
    archive.publish(unit, relaxation(unit.structure))
    frames = archive.path(unit) / "frames.extxyz"
    content = bytearray(frames.read_bytes())
    content[len(content) // 2] ^= 1
    frames.write_bytes(bytes(content))
    assert list(archive.records()) == []
    assert archive.find(unit) is None


def test_attempts_have_their_own_directories_and_go_on_success(archive, unit):
    with archive.attempt(unit) as first, archive.attempt(unit) as second:
        assert first != second
        assert list(first.iterdir()) == []
        assert [note["unit"] for note in archive.attempts()] == [unit.name] * 2
    assert archive.attempts() == ()


def test_only_attempts_that_live_are_running(archive, unit):
    dead = subprocess.Popen(["true"])
    dead.wait()
    with archive.attempt(unit):
        (note,) = archive.running()
        assert (note["unit"], note["pid"]) == (unit.name, os.getpid())
        path = next((archive.root / "attempts").iterdir()) / "attempt.json"
        path.write_text(json.dumps(note | {"pid": dead.pid}))
        assert archive.running() == ()
        path.write_text(json.dumps(note | {"pid": dead.pid, "host": "another-node"}))
        assert len(archive.running()) == 1
        path.write_text(json.dumps(note | {"ended": "now"}))
        assert archive.running() == ()


def test_a_broken_attempt_stays_to_look_at_until_the_next(archive, unit):
    with pytest.raises(RuntimeError), archive.attempt(unit) as directory:
        (directory / "OUTCAR").write_text("half")
        raise RuntimeError("the node vanished")
    (note,) = archive.attempts()
    assert "the node vanished" in note["error"]
    assert (directory / "OUTCAR").read_text() == "half"
    with archive.attempt(unit) as again:
        assert not directory.exists()
        assert again.exists()


@pytest.mark.parametrize("reason", ["time limit", "stopped"])
def test_an_interrupted_relaxation_is_not_published(archive, unit, reason):
    with pytest.raises(ArchiveError, match=f"{unit.name}: ended by a {reason}"):
        archive.publish(unit, relaxation(unit.structure, converged=False, reason=reason))
    assert archive.find(unit) is None


def test_licensed_files_are_left_out(archive, unit, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("POTCAR", "OUTCAR"):
        (tmp_path / "run" / name).write_text(name)
    archive.publish(unit, relaxation(unit.structure), files=tmp_path / "run", leave_out=("POTCAR",))
    assert [path.name for path in (archive.path(unit) / "files").iterdir()] == ["OUTCAR"]


def test_failures_are_noted_until_the_unit_is_finished(archive, unit):
    archive.record_failure(unit, RuntimeError("worker lost"))
    archive.record_failure(unit, ValueError("again"))
    (failure,) = archive.failures()
    assert (failure.name, failure.error, failure.message) == (unit.name, "ValueError", "again")
    assert archive.failure(unit) == failure
    archive.publish(unit, relaxation(unit.structure))
    assert archive.failures() == ()


def test_names_cannot_leave_the_archive(archive, unit):
    for hostile in ("../../..", "/etc", "a/../../../../.."):
        with pytest.raises(ArchiveError, match="leave the archive"):
            archive.path(dataclasses.replace(unit, host=hostile, defect=hostile, label=hostile))


def test_the_index_is_made_from_the_units(archive, unit):
    from ase.db import connect

    archive.publish(unit, relaxation(unit.structure))
    other = dataclasses.replace(unit, label="Dimer", method="other")
    archive.publish(other, relaxation(unit.structure, energy=-13.0, converged=False, reason="step limit"))
    (archive.root / "index.db").write_bytes(b"lost in a crash")
    assert reindex(archive) == 2
    with connect(archive.root / "index.db") as database:
        assert database.get(label="Dimer").energy == -13.0
        assert [row.key for row in database.select(converged=True)] == [unit.key]
        row = database.get(key=other.key)
        assert (archive.root / row.directory / "unit.json").is_file()


FULL_DISK = """
import pickle, subprocess, sys
from pathlib import Path
from defect_surrogate.archive import Archive
from defect_surrogate.errors import ArchiveError
folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder / "small")], check=True)
unit, relaxation = pickle.loads((folder / "work.pickle").read_bytes())
archive = Archive(folder / "small" / "archive")
try:
    archive.publish(unit, relaxation, files=folder / "files")
except ArchiveError as error:
    print(error)
print(archive.find(unit), len(list((archive.root / "attempts").iterdir())))
print(archive.publish(unit, relaxation).converged)
"""


def test_a_full_disk_publishes_nothing(unit, tmp_path):
    """A file system of 1 MB, in a mount namespace of its own, and 4 MB to write."""
    for name in ("small", "files"):
        (tmp_path / name).mkdir()
    (tmp_path / "files" / "WAVECAR").write_bytes(os.urandom(4_000_000))
    (tmp_path / "work.pickle").write_bytes(pickle.dumps((unit, relaxation(unit.structure))))
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    command = [*namespace, sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    refusal, nothing, afterwards = done.stdout.splitlines()
    assert "No space left on device" in refusal
    assert nothing == "None 0"
    assert afterwards == "True"


PUBLISHER = """
import pickle, sys
from pathlib import Path
from defect_surrogate.archive import Archive
units, relaxation = pickle.load(open(sys.argv[2], "rb"))
print("ready", flush=True)
for unit in units:
    with Archive(Path(sys.argv[1])).attempt(unit) as directory:
        (directory / "OUTCAR").write_bytes(b"x" * 200000)
        Archive(Path(sys.argv[1])).publish(unit, relaxation, files=directory)
"""


@pytest.mark.parametrize("delay", [0.02, 0.15, 0.4])
def test_kill_9_while_publishing_leaves_whole_units_only(archive, unit, tmp_path, delay):
    units = [dataclasses.replace(unit, label=f"Bond_Distortion_{i}%", method=str(i)) for i in range(400)]
    (tmp_path / "work.pickle").write_bytes(pickle.dumps((units, relaxation(unit.structure))))
    command = [sys.executable, "-c", PUBLISHER, str(archive.root), str(tmp_path / "work.pickle")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    published = list((archive.root / "units").glob("*/*/*/*/*"))
    assert len(list(archive.records())) == len(published)
    assert list((archive.root / "rejected").iterdir()) == []
    assert 0 < len(published) < 400 or delay < 0.1
    archive.clear_dead_attempts()
    assert list((archive.root / "attempts").iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=400))
def test_no_manifest_content_is_an_exception(tmp_path_factory, cluster_crystal, content):
    archive = Archive(tmp_path_factory.mktemp("archive"))
    unit = Unit("Cd4Te4", "v_Cd_0", "Dimer", "surrogate", cluster_crystal, "method")
    archive.path(unit).mkdir(parents=True)
    (archive.path(unit) / "unit.json").write_bytes(content)
    assert archive.find(unit) is None


def test_another_version_of_the_software_is_told_and_nothing_is_moved(archive, unit):
    archive.publish(unit, relaxation(unit.structure))
    path = archive.path(unit) / "unit.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"schema_version": 99}))
    with pytest.raises(ArchiveError, match="schema version 99, this software reads 1"):
        archive.find(unit)
    path.write_text(whole)
    assert archive.find(unit).converged


def test_a_unit_that_cannot_be_read_stays_where_it_is(archive, unit, monkeypatch):
    archive.publish(unit, relaxation(unit.structure))
    read_text = Path.read_text

    def stale(path, *args, **kwargs):
        if path.name == "unit.json":
            raise OSError(errno.ESTALE, "Stale file handle")
        return read_text(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", stale)
        with pytest.raises(ArchiveError, match="Stale file handle"):
            archive.find(unit)
    assert archive.find(unit).converged


def test_a_unit_in_the_place_of_another_is_not_believed(archive, unit):
    archive.publish(unit, relaxation(unit.structure))
    other = dataclasses.replace(unit, label="Dimer")
    shutil.copytree(archive.path(unit), archive.path(other))
    assert archive.find(other) is None
    assert [record.name for record in archive.records()] == [unit.name]


def test_strangers_among_the_attempts_are_left_alone(archive, unit):
    for name in (".nfs0000001", "notes.txt", f"{unit.key[:16]}-x"):
        (archive.root / "attempts" / name).mkdir()
    archive.clear_dead_attempts()
    with archive.attempt(unit):
        assert len(list((archive.root / "attempts").iterdir())) == 4
