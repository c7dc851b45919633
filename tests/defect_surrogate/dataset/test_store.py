import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.dataset.store import read_dataset, write_dataset
from defect_surrogate.errors import DatasetError


@pytest.fixture
def folder(dataset, tmp_path) -> Path:
    write_dataset(dataset, tmp_path / "a" / "set")
    return tmp_path / "a" / "set"


def rewrite(path: Path, old: str, new: str) -> None:
    """Change a file of frames and make the manifest fit."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    manifest = json.loads((path.parent / "dataset.json").read_text())
    manifest["files"][path.name] |= {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    (path.parent / "dataset.json").write_text(json.dumps(manifest))


def test_a_dataset_comes_back_with_its_digest(dataset, folder):
    again = read_dataset(folder)
    assert again.digest == dataset.digest
    assert again.level_of_theory == "HSE06 (VASP)"
    assert [frame.name for frame in again.frames] == [frame.name for frame in dataset.frames]
    assert sorted(path.name for path in folder.iterdir()) == ["CdSe.extxyz", "CdTe.extxyz", "dataset.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


def test_the_manifest_says_what_there_is(dataset, folder):
    manifest = json.loads((folder / "dataset.json").read_text())
    assert (manifest["format_version"], manifest["frames"], manifest["digest"]) == (1, 24, dataset.digest)
    assert manifest["level_of_theory"] == "HSE06 (VASP)"
    assert manifest["files"]["CdTe.extxyz"] == {
        "frames": 12,
        "bytes": (folder / "CdTe.extxyz").stat().st_size,
        "sha256": file_digest(folder / "CdTe.extxyz"),
    }


def test_ase_reads_a_hosts_file(folder, dataset):
    images = read(folder / "CdTe.extxyz", index=":")
    frames = [frame for frame in dataset.frames if frame.host == "CdTe"]
    np.testing.assert_allclose([i.get_potential_energy() for i in images], [f.energy for f in frames], atol=1e-8)


@pytest.mark.parametrize("name", ["CdTe.extxyz", "dataset.json"])
@pytest.mark.parametrize("damage", ["remove", "truncate", "empty", "binary"])
def test_a_damaged_file_is_named(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(content[:-40])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(os.urandom(len(content)))
    with pytest.raises(DatasetError, match=name):
        read_dataset(folder)


def test_a_changed_digit_is_seen(folder):
    path = folder / "CdTe.extxyz"
    content = bytearray(path.read_bytes())
    content[-3] = ord("1") if content[-3] != ord("1") else ord("2")
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"CdTe\.extxyz: damaged or changed"):
        read_dataset(folder)


def test_mixed_levels_of_theory_are_refused(folder):
    rewrite(folder / "CdTe.extxyz", "HSE06 (VASP)", "PBE (VASP)")
    with pytest.raises(DatasetError, match=r"CdTe\.extxyz: CdTe/bulk/Bond_0/0 is PBE \(VASP\), the dataset is HSE06"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":forces:R:3", "", "missing forces"),
        ("energy=-", "energy=-nan#", "could not convert"),
        ("energy=-", "energy=-inf ", "energy not finite"),
        ("Cd ", "Cd nan ", "columns"),
        ("Cd ", "Uu ", "unknown element 'Uu'"),
        ("step=0", "step=5", "digest"),
    ],
)
def test_frames_that_cannot_be_are_refused_though_the_file_is_whole(folder, old, new, message):
    rewrite(folder / "CdTe.extxyz", old, new)
    with pytest.raises(DatasetError, match=message):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, r"dataset\.json: format of version 2, this software reads 1"),
        ({"files": {}}, r"CdSe\.extxyz: is not in dataset\.json"),
        ({"files": []}, r"dataset\.json: is not the manifest"),
        ({"files": {"CdTe.extxyz": {"frames": 12}}}, r"dataset\.json: is not the manifest"),
        ({"level_of_theory": "PBE (VASP)"}, "the dataset is PBE"),
        ({"digest": "0" * 64}, r"dataset\.json: digest 000"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder, changes, message):
    manifest = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(manifest | changes))
    with pytest.raises(DatasetError, match=message):
        read_dataset(folder)


def test_no_dataset_is_no_dataset(tmp_path, dataset):
    with pytest.raises(DatasetError, match=r"no dataset is there: dataset\.json is missing"):
        read_dataset(tmp_path)
    with pytest.raises(DatasetError, match="an empty dataset is not written"):
        write_dataset(replace(dataset, frames=()), tmp_path / "set")
    (tmp_path / "dataset.json").write_text(
        json.dumps({"format_version": 1, "level_of_theory": "PBE", "digest": "", "files": {}})
    )
    with pytest.raises(DatasetError, match="an empty dataset"):
        read_dataset(tmp_path)


def test_what_is_there_is_not_overwritten(dataset, folder, tmp_path):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DatasetError, match="set: holds something already"):
        write_dataset(dataset, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file: holds something already"):
        write_dataset(dataset, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    write_dataset(dataset, tmp_path / "empty")
    assert len(read_dataset(tmp_path / "empty")) == len(dataset)


def test_frames_that_cannot_be_told_apart_or_named_are_refused(dataset, labelled, tmp_path):
    with pytest.raises(DatasetError, match="CdTe/v_Cd_0/Dimer/0: two frames have this name"):
        write_dataset(replace(dataset, frames=(labelled(), labelled())), tmp_path / "set")
    for host in ("../CdTe", ".CdTe"):
        with pytest.raises(DatasetError, match="cannot be the name of a host's file"):
            write_dataset(replace(dataset, frames=(replace(labelled(), host=host),)), tmp_path / "set")
    with pytest.raises(DatasetError, match="forces not finite"):
        write_dataset(replace(dataset, frames=(labelled(forces=np.full((2, 3), np.nan)),)), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import pickle, subprocess, sys
from pathlib import Path
from defect_surrogate.dataset.store import read_dataset, write_dataset
from defect_surrogate.errors import DatasetError
folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder / "small")], check=True)
large, small = pickle.loads((folder / "work.pickle").read_bytes())
try:
    write_dataset(large, folder / "small" / "set", notes={"ingested.csv": "tree"})
except DatasetError as error:
    print(error)
print(list((folder / "small").iterdir()))
write_dataset(small, folder / "small" / "set")
print(read_dataset(folder / "small" / "set").digest == small.digest)
"""


def test_a_full_disk_leaves_nothing(dataset_of, relaxations, tmp_path):
    """A file system of 64 kB, in a mount namespace of its own, and 300 kB to write."""
    (tmp_path / "small").mkdir()
    large, small = (dataset_of(*relaxations("CdTe", steps=steps)) for steps in (250, 3))
    (tmp_path / "work.pickle").write_bytes(pickle.dumps((large, small)))
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    command = [*namespace, sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    refusal, left, afterwards = done.stdout.splitlines()
    assert "No space left on device" in refusal
    assert (left, afterwards) == ("[]", "True")
