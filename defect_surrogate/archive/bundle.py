"""A bundle: the finished units of an archive in one compressed file, for another machine or the data repository of a paper.

A ``.tar.xz`` with ``bundle.json`` and, below ``units/``, each unit at its smallest (``compact``), as the archive would have it:
plain ``tar`` shows it. About 11 kB for a relaxation of 54 atoms with ten frames. Unpacked, a unit has the key it had, so that
it is found again and not computed a second time.
"""

import json
import logging
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from defect_surrogate.archive.compact import FRAMES, MANIFEST, compact_unit, read_compact_unit
from defect_surrogate.archive.store import KEY_DIGITS, Archive
from defect_surrogate.archive.tarball import read_tarball, write_tarball
from defect_surrogate.errors import ArchiveError, InputError
from defect_surrogate.relaxation import Relaxation, Unit

logger = logging.getLogger(__name__)

BUNDLE_VERSION = 1
HEAD = "bundle.json"
UNIT = re.compile(rf"units/[^/]+/[^/]+/[^/]+/[^/]+/[0-9a-f]{{{KEY_DIGITS}}}")


@dataclass(frozen=True)
class Unpacked:
    """What became of the units of a bundle.

    Attributes
    ----------
    imported
        Number of units that are new in the archive.
    present
        Number of units that it held already.
    differing
        Names of those among ``present`` whose result is another one; the archive kept its own.
    refused
        File, member and reason of each unit that is damaged or not what it says it is.
    """

    imported: int
    present: int
    differing: tuple[str, ...]
    refused: tuple[str, ...]


def pack(archive: Archive, path: Path, *, frames: int = 10) -> int:
    """Write the finished units of an archive into a bundle; the same units give the same bytes.

    Parameters
    ----------
    archive
        Where the units are; each is verified.
    path
        File to write, by custom ``.tar.xz``.
    frames
        Most frames of a unit, at least 2: evenly spaced, first and last among them.

    Returns
    -------
    int
        Number of units in the bundle.

    Raises
    ------
    InputError
        If the archive has no finished unit, or ``frames`` is below 2.
    ArchiveError
        If a unit cannot be read, or the file not be written.
    """
    if frames < 2:
        raise InputError(f"{path}: {frames=}: a relaxation keeps its first and its last frame")
    directories = [record.path for record in archive.records()]
    if not directories:
        raise InputError(f"{archive.root}: no finished unit to pack")
    write_tarball(path, _members(archive.root, directories, frames))
    return len(directories)


def unpack(path: Path, archive: Archive) -> Unpacked:
    """Publish the units of a bundle in an archive, which keeps what it has.

    The whole file is read before anything is published. An import that was interrupted leaves whole units; to repeat it
    completes it.

    Parameters
    ----------
    path
        The bundle.
    archive
        Where its units go, under the same keys.

    Returns
    -------
    Unpacked
        How many are new, were there, and were refused.

    Raises
    ------
    InputError
        If the file is no bundle, one of another version, damaged, or holds what no bundle holds. Nothing is published.
    ArchiveError
        If the archive cannot be read or written, for example because the disk is full.
    """
    count = sum(1 for _ in _units(path))
    archive.clear_dead_attempts()
    imported, differing, refused = 0, [], []
    for directory, files in _units(path):
        try:
            with tempfile.TemporaryDirectory() as scratch:
                _write(files, Path(scratch))
                try:
                    unit, relaxation = _verified(Path(scratch), directory)
                except Exception as error:  # whatever content makes a reader do, it costs this unit only
                    refused.append(f"{path}: {directory}: {type(error).__name__}: {error}")
                    logger.error("refused: %s", refused[-1])
                    continue
                found = archive.find(unit)
                if found is None:
                    imported += archive.publish_directory(unit, partial(_write, files))
                elif not _same(found, relaxation):
                    differing.append(unit.name)
        except (OSError, ArchiveError) as error:
            raise ArchiveError(f"{path}: {directory}: not unpacked into {archive.root}: {error}") from error
    return Unpacked(imported, count - imported - len(refused), tuple(differing), tuple(refused))


def _members(root: Path, directories: list[Path], frames: int) -> Iterator[tuple[str, bytes]]:
    yield HEAD, json.dumps({"bundle_version": BUNDLE_VERSION, "units": len(directories)}).encode()
    for directory in directories:
        try:
            files = compact_unit(directory, frames=frames)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"{directory}: cannot be packed: {type(error).__name__}: {error}") from error
        for name, content in files.items():
            yield f"{directory.relative_to(root).as_posix()}/{name}", content


def _units(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the directory and the files of each unit."""
    members = read_tarball(path)
    name, head = next(members, ("", b""))
    if name != HEAD:
        raise InputError(f"{path}: no bundle: its first member is {name!r}, not {HEAD}")
    expected, count = _unit_count(path, head), 0
    for name, frames in members:
        directory = name.removesuffix(f"/{FRAMES}")
        following, manifest = next(members, ("", b""))
        if not UNIT.fullmatch(directory) or following != f"{directory}/{MANIFEST}":
            raise InputError(f"{path}: {name!r}, {following!r}: not the two files of one unit")
        count += 1
        yield directory, {FRAMES: frames, MANIFEST: manifest}
    if count != expected:
        raise InputError(f"{path}: {HEAD}: says {expected} units, but there are {count}")


def _unit_count(path: Path, head: bytes) -> int:
    try:
        content = json.loads(head)
        version, units = content["bundle_version"], int(content["units"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: {HEAD}: cannot be read: {error}") from error
    if version != BUNDLE_VERSION:
        raise InputError(f"{path}: {HEAD}: bundle version {version}, this software reads {BUNDLE_VERSION}")
    return units


def _verified(staged: Path, directory: str) -> tuple[Unit, Relaxation]:
    unit, relaxation = read_compact_unit(staged)
    if directory != f"units/{unit.name}/{unit.key[:KEY_DIGITS]}":
        raise ValueError(f"holds {unit.name} with key {unit.key[:KEY_DIGITS]}")
    return unit, relaxation


def _write(files: dict[str, bytes], directory: Path) -> None:
    for name, content in files.items():
        (directory / name).write_bytes(content)


def _same(one: Relaxation, other: Relaxation) -> bool:
    energies = np.array_equal([one.energy], [other.energy], equal_nan=True)
    return energies and replace(one, energy=0.0) == replace(other, energy=0.0)
