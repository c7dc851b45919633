"""The index as an SQLite file: kept up to date without reading what it has, and never half."""

import dataclasses
import multiprocessing.context
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from ase.db import connect

from defect_surrogate.archive import find_rows, index, reindex, update_index
from defect_surrogate.errors import ArchiveError
from tests.units import publish


def labels(archive):
    return [row.label for row in find_rows(archive.root)]


def drafts(archive):
    return sorted(path.name for path in archive.root.glob("index*"))


def test_only_what_is_new_is_read(archive, unit, monkeypatch):
    publish(archive, unit)
    assert update_index(archive) == 1
    read, read_record = [], index.read_record
    monkeypatch.setattr(index, "read_record", lambda path, **more: read.append(path) or read_record(path, **more))
    new = dataclasses.replace(unit, label="Rattled", method="other")
    publish(archive, new)
    assert update_index(archive) == 1
    assert read == [archive.path(new)]
    assert update_index(archive) == 0
    assert len(read) == 1
    assert labels(archive) == ["Dimer", "Rattled"]
    assert drafts(archive) == ["index.db"]


def test_an_updated_index_is_that_made_anew(archive, unit):
    for number in range(3):
        publish(archive, dataclasses.replace(unit, label=f"Bond_Distortion_{number}0.0%", method=str(number)))
        assert update_index(archive) == 1
    updated = find_rows(archive.root)
    assert reindex(archive) == 3
    assert find_rows(archive.root) == updated


def test_units_that_are_gone_leave_the_index(archive, unit):
    other = dataclasses.replace(unit, label="Rattled")
    for one in (unit, other):
        publish(archive, one)
    update_index(archive)
    shutil.rmtree(archive.path(unit))
    assert update_index(archive) == 0
    assert labels(archive) == ["Rattled"]
    shutil.rmtree(archive.path(other))
    assert reindex(archive) == 0
    assert labels(archive) == []


def test_a_damaged_unit_is_left_out_and_named(archive, unit, caplog):
    broken, strange = (dataclasses.replace(unit, label=label) for label in ("Broken", "Strange"))
    for one in (unit, broken):
        publish(archive, one)
    (archive.path(broken) / "unit.json").write_text("{")
    shutil.copytree(archive.path(unit), archive.path(strange))
    assert update_index(archive) == 1
    assert labels(archive) == ["Dimer"]
    assert f"{archive.path(broken)}: left out of the index: JSONDecodeError" in caplog.text
    assert f"{archive.path(strange)}: left out of the index: ValueError: holds {unit.name}" in caplog.text
    assert archive.path(broken).is_dir()


@pytest.mark.parametrize("content", [b"", b"lost in a crash" * 999])
def test_a_damaged_index_is_told_and_made_anew(archive, unit, content, caplog):
    publish(archive, unit)
    (archive.root / "index.db").write_bytes(content)
    if content:
        with pytest.raises(ArchiveError, match=r"index\.db: cannot be read: .*; reindex makes it anew"):
            find_rows(archive.root)
    assert update_index(archive) == 1
    assert "cannot be read, and is made anew" in caplog.text
    assert labels(archive) == ["Dimer"]


def test_an_index_that_cannot_be_written_stays(archive, unit, monkeypatch):
    publish(archive, unit)
    update_index(archive)
    publish(archive, dataclasses.replace(unit, label="Rattled"))

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    for change in (update_index, reindex):
        with monkeypatch.context() as patch, pytest.raises(ArchiveError, match=r"index\.db: .*disk is full"):
            patch.setattr("ase.db.sqlite.SQLite3Database._write", full)
            change(archive)
        assert labels(archive) == ["Dimer"]
        assert drafts(archive) == ["index.db"]


def clean_forks() -> multiprocessing.context.ForkServerContext:
    """Processes that are not copies of this one, whose threads and handlers of logs other tests have left."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["defect_surrogate.archive.index", "ase.db.sqlite"])
    return forks


def test_a_reader_finds_the_old_index_or_the_new_one(archive, unit):
    """While units come and go under it, a copy that is read has one of them, whole."""
    other = dataclasses.replace(unit, label="Rattled")
    publish(archive, unit)
    publish(archive, other)
    update_index(archive)
    fork = clean_forks()
    enough = fork.Event()
    process = fork.Process(target=_come_and_go, args=(archive, other, enough))
    process.start()
    seen = []
    while process.is_alive() and (len(seen) < 50 or len(set(seen)) < 2):
        seen.append(tuple(labels(archive)))
    enough.set()
    process.join(60)
    assert process.exitcode == 0
    assert set(seen) == {("Dimer", "Rattled"), ("Dimer",)}


def _come_and_go(archive, unit, enough):
    aside = archive.root / "aside"
    while not enough.is_set():
        os.rename(archive.path(unit), aside)
        assert update_index(archive) == 0
        os.rename(aside, archive.path(unit))
        assert update_index(archive) == 1


def test_two_updates_at_once_leave_a_whole_index_that_the_next_completes(archive, unit):
    fork = clean_forks()
    for number in range(10):
        publish(archive, dataclasses.replace(unit, label=f"Bond_Distortion_{number}0.0%"))
        processes = [fork.Process(target=update_index, args=(archive,)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0]
        assert set(labels(archive)) <= {f"Bond_Distortion_{i}0.0%" for i in range(number + 1)}
    update_index(archive)
    assert labels(archive) == [f"Bond_Distortion_{i}0.0%" for i in range(10)]
    assert drafts(archive) == ["index.db"]


UPDATER = """
import sys
from pathlib import Path
from defect_surrogate.archive import Archive, reindex
print("ready", flush=True)
while True:
    reindex(Archive(Path(sys.argv[1])))
"""


def test_kill_9_while_the_index_is_made_leaves_it_whole(archive, unit):
    for number in range(20):
        publish(archive, dataclasses.replace(unit, label=f"Bond_Distortion_{number:02}%"))
    assert update_index(archive) == 20
    process = subprocess.Popen([sys.executable, "-c", UPDATER, str(archive.root)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    while len(drafts(archive)) < 2:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(find_rows(archive.root)) == 20
    assert update_index(archive) == 0
    long_ago = time.time() - 2 * index.ABANDONED_SECONDS
    mine = archive.root / "index-of-mine.db"
    mine.touch()
    for path in archive.root.glob("index*"):
        os.utime(path, (long_ago, long_ago))
    assert update_index(archive) == 0
    assert drafts(archive) == ["index-of-mine.db", "index.db"]


def test_ase_reads_the_index(archive, unit):
    publish(archive, unit)
    update_index(archive)
    with connect(archive.root / "index.db") as database:
        row = database.get("host=CdTe,converged=True,level=reference")
    assert row.energy == -12.3456789
    assert (archive.root / row.directory / "unit.json").is_file()
