"""A dataset as a directory: one extended XYZ file for each host, and a manifest that says whether it is whole.

::

    dataset/
        dataset.json     level of theory, version of the format, digest; frames, bytes and SHA-256 of each file
        CdTe.extxyz      frames of one host, for ``ase.io.read`` and for whoever trains another force field

It is written under a temporary name and renamed, so that there is either a whole dataset or none.
"""

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from defect_surrogate.archive.durable import file_digest, rename_if_absent, sync_directory, sync_tree
from defect_surrogate.dataset.frame_text import check_frame, format_frame, parse_frames
from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.errors import DatasetError

FORMAT_VERSION = 1
MANIFEST = "dataset.json"


def check_unused(folder: Path) -> None:
    """Refuse a folder that holds something.

    Parameters
    ----------
    folder
        Where a dataset is to be written.

    Raises
    ------
    DatasetError
        If it is a file, or a folder with anything in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder}: holds something already; choose another folder for the dataset")


def write_dataset(dataset: Dataset, folder: Path, *, notes: Mapping[str, str] | None = None) -> None:
    """Write a dataset into a directory of its own, at once or not at all.

    Parameters
    ----------
    dataset
        At least one frame.
    folder
        New, or empty; its parents are made when missing.
    notes
        Content of further text files, by name, that appear with the dataset or not at all.

    Raises
    ------
    DatasetError
        If the dataset is empty, a frame has numbers that are not finite or no forces, two frames have one name, the folder
        holds something, or it cannot be written, for example because the disk is full. Nothing is left there then.
    """
    if not dataset.frames:
        raise DatasetError(f"{folder}: an empty dataset is not written")
    names = set()
    for frame in dataset.frames:
        check_frame(frame)
        if frame.name in names:
            raise DatasetError(f"{frame.name}: two frames have this name")
        names.add(frame.name)
    folder = folder.absolute()
    check_unused(folder)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        partial.mkdir(parents=True)
        files = {f"{host}.extxyz": _write_host(dataset, host, partial) for host in dataset.hosts}
        manifest = {
            "format_version": FORMAT_VERSION,
            "level_of_theory": dataset.level_of_theory,
            "potcars": list(dataset.potcars),
            "frames": len(dataset),
            "digest": dataset.digest,
            "files": files,
        }
        for name, text in ((MANIFEST, json.dumps(manifest, indent=1) + "\n"), *(notes or {}).items()):
            (partial / name).write_text(text, encoding="utf-8")
        sync_tree(partial)
        if not rename_if_absent(partial, folder):
            raise DatasetError(f"{folder}: something else was written there meanwhile")
        sync_directory(folder.parent)
    except OSError as error:
        raise DatasetError(f"{folder}: the dataset cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_dataset(folder: Path) -> Dataset:
    """Read and verify a dataset.

    Parameters
    ----------
    folder
        Directory that ``write_dataset`` wrote.

    Returns
    -------
    Dataset
        With the digest it was written with.

    Raises
    ------
    DatasetError
        Naming the file, if one is missing, damaged, truncated or not in the manifest; if frames are of another level of theory
        than the manifest says, or hold no forces or numbers that are not finite; if it is empty, or in the format of another
        version.
    """
    manifest = read_manifest(folder)
    files = manifest["files"]
    if strays := sorted({path.name for path in folder.glob("*.extxyz")} - files.keys()):
        raise DatasetError(f"{folder / strays[0]}: is not in {MANIFEST}, so it is not known where it comes from")
    frames = [
        frame
        for name in sorted(files)
        for frame in _read_host(folder / name, files[name], level_of_theory=manifest["level_of_theory"])
    ]
    frames.sort(key=lambda frame: (frame.host, frame.defect, frame.label, frame.step))
    dataset = Dataset(manifest["level_of_theory"], tuple(frames), manifest["potcars"])
    if not frames:
        raise DatasetError(f"{folder}: an empty dataset")
    if dataset.digest != manifest["digest"]:
        raise DatasetError(f"{folder / MANIFEST}: digest {manifest['digest']}, the frames have {dataset.digest}")
    return dataset


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a dataset says of itself, without its frames.

    Parameters
    ----------
    folder
        Directory that ``write_dataset`` wrote.

    Returns
    -------
    dict
        ``level_of_theory``, ``digest``, ``potcars``, and under ``files`` frames, bytes and SHA-256 of each file by its name.

    Raises
    ------
    DatasetError
        If there is no dataset, or in the format of another version.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise DatasetError(f"{path.parent}: no dataset is there: {path.name} is missing")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format_version"]
        if version != FORMAT_VERSION:
            raise DatasetError(f"{path}: format of version {version}, this software reads {FORMAT_VERSION}")
        checked = {key: manifest[key] for key in ("level_of_theory", "digest", "files")}
        checked["potcars"] = tuple(map(str, manifest.get("potcars", ())))  # unknown before they were written down
        if not all({"frames", "bytes", "sha256"} <= entry.keys() for entry in checked["files"].values()):
            raise ValueError("a file without frames, bytes or sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: is not the manifest of a dataset: {error!r}") from error
    return checked


def _write_host(dataset: Dataset, host: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{host}.extxyz"
    if path.parent != folder or path.name.startswith("."):
        raise DatasetError(f"{host!r} cannot be the name of a host's file")
    frames = [frame for frame in dataset.frames if frame.host == host]
    with path.open("w", encoding="utf-8") as stream:
        for frame in frames:
            stream.write(format_frame(frame, level_of_theory=dataset.level_of_theory))
    return {"frames": len(frames), "bytes": path.stat().st_size, "sha256": file_digest(path)}


def _read_host(path: Path, expected: dict[str, Any], *, level_of_theory: str) -> Iterator[LabelledFrame]:
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise DatasetError(f"{path}: {size} bytes, {expected['bytes']} expected: truncated or changed")
        if file_digest(path) != expected["sha256"]:
            raise DatasetError(f"{path}: damaged or changed: its SHA-256 is not that in {MANIFEST}")
        count = 0
        with path.open(encoding="utf-8") as stream:
            for frame, level in parse_frames(stream, source=path):
                if level != level_of_theory:
                    raise DatasetError(f"{path}: {frame.name} is {level}, the dataset is {level_of_theory}")
                count += 1
                yield frame
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    if count != expected["frames"]:
        raise DatasetError(f"{path}: {count} frames, {expected['frames']} expected")
