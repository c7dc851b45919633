"""Segments of relaxations that were interrupted: kept beside the archive's units, numbered, each whole or absent.

The directory of an attempt says how many segments there were when it began, so that what it left behind goes after these, or
nowhere.
"""

import json
import logging
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from defect_surrogate.archive import attempts, durable
from defect_surrogate.archive.records import read_frames, write_frames
from defect_surrogate.archive.store import Archive
from defect_surrogate.archive.unfinished import KEY_DIGITS, segment_path
from defect_surrogate.errors import ArchiveError
from defect_surrogate.relaxation import Segment, Unit

logger = logging.getLogger(__name__)


def read_segments(archive: Archive, unit: Unit) -> tuple[Segment, ...]:
    """Read what interrupted runs of a unit have done.

    Parameters
    ----------
    archive
        Where they are kept.
    unit
        Not finished.

    Returns
    -------
    tuple of Segment
        In order. One that is damaged is moved aside, with all that follow.
    """
    found: list[Segment] = []
    paths = archive.segment_paths(unit)
    for number, path in enumerate(paths):
        try:
            found.append(_read(path))
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            logger.error(
                "%s: segment %d is damaged (%s); the relaxation goes on from before it", unit.name, number + 1, error
            )
            for damaged in paths[number:]:
                durable.move_aside(damaged, archive.root / "rejected")
            break
        except OSError as error:
            raise ArchiveError(f"{path}: cannot be read: {error}") from error
    return tuple(found)


def keep_segment(
    archive: Archive, unit: Unit, segment: Segment, *, after: int, files: Path, leave_out: tuple[str, ...]
) -> bool:
    """Keep what an interrupted run has done.

    Parameters
    ----------
    archive
        Where it is kept until the unit is finished.
    unit
        That was relaxed.
    segment
        What has been done.
    after
        Number of segments that the run went on from.
    files
        Directory of calculation files to keep with it; copied.
    leave_out
        Names of files that are not kept, such as licensed ones.

    Returns
    -------
    bool
        Whether it is the next segment now; False if there is another.

    Raises
    ------
    ArchiveError
        If it cannot be written.
    """
    target = segment_path(archive.root, unit, after + 1)
    staging = archive.root / "attempts" / f".segment-{target.name}-{uuid.uuid4().hex[:8]}"
    try:
        shutil.copytree(files, staging / "files", ignore=shutil.ignore_patterns(*leave_out))
        write_frames(staging / "frames.extxyz", segment.frames)
        note = {
            "seconds": segment.seconds,
            "corrections": list(segment.corrections),
            "frames": durable.file_digest(staging / "frames.extxyz"),
        }
        durable.write_synced(staging / "segment.json", json.dumps(note))
        durable.sync_tree(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        return durable.rename_if_absent(staging, target)
    except OSError as error:
        raise ArchiveError(f"{unit.name}: what has been done is not kept: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def left_behind(archive: Archive, unit: Unit) -> Iterator[Path]:
    """Yield the work directories of attempts at a unit whose work is not kept, and which went on from the last segment.

    Parameters
    ----------
    archive
        Of the attempts.
    unit
        Not finished.

    Yields
    ------
    Path
        Of attempts that could not keep what they had done, of those of this machine whose process is gone, and of other
        machines; largest first. It may be that one of another machine is still at work: then what it has done so far is done
        twice.
    """
    after = len(archive.segment_paths(unit))
    found = []
    for path in (archive.root / "attempts").glob(f"{unit.key[:KEY_DIGITS]}-*"):
        note = attempts.read_note(path)
        if note.get("key") == unit.key and note.get("after") == after and attempts.unkept(note):
            found.append(path / "work")
    yield from sorted(found, key=_size, reverse=True)


def _size(work: Path) -> int:
    try:
        return (work / "vasprun.xml").stat().st_size
    except OSError:
        return 0


def _read(path: Path) -> Segment:
    note = json.loads((path / "segment.json").read_text(encoding="utf-8"))
    if durable.file_digest(path / "frames.extxyz") != note["frames"]:
        raise ValueError("its frames do not match their digest")
    return Segment(read_frames(path / "frames.extxyz"), float(note["seconds"]), tuple(note["corrections"]))
