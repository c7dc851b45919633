"""Attempts at units: a directory each, named after the process that works in it, so that the dead can be told and cleared."""

import json
import os
import re
import shutil
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from defect_surrogate.archive import durable
from defect_surrogate.archive.records import utc_now
from defect_surrogate.errors import ArchiveError
from defect_surrogate.relaxation import Unit

GONE_ON_FROM = "vasprun.xml"
"""File in the working directory of an attempt that was killed from which another can go on."""
SILENCE = 7 * 86400.0
"""Seconds after which an attempt of another machine is taken for dead (our choice)."""

NAME = re.compile(r"[0-9a-f]+-(?P<host>.+)-(?P<pid>[0-9]+)-[0-9a-f]{8}")


def begin(root: Path, unit: Unit, *, prefix: str, after: int = 0, driver: str = "") -> Path:
    """Make the directory of an attempt, with its note ``attempt.json``.

    In the note are unit, key, pid, host, start, what it goes on from, and who asked for it.

    Earlier attempts at the same unit that are dead are removed.

    Parameters
    ----------
    root
        Directory of all attempts.
    unit
        What will be computed.
    prefix
        Beginning of the name, hexadecimal digits of the unit's key.
    after
        Number of segments that interrupted attempts have left.
    driver
        Name of the driver that gave it out, if one did.

    Returns
    -------
    Path
        The directory.
    """
    clear_dead(root, f"{prefix}-*", silent_too=True)
    pid, host = os.getpid(), socket.gethostname()
    path = root / f"{prefix}-{host}-{pid}-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    note = {"unit": unit.name, "key": unit.key, "pid": pid, "host": host, "started": utc_now(), "after": after}
    durable.write_synced(path / "attempt.json", json.dumps(note | {"driver": driver}))
    return path


def note_end(path: Path, error: BaseException) -> None:
    """Add to the note of an attempt that it broke, and how; and whether what it had done could not be archived."""
    kept = not isinstance(error, ArchiveError)
    note = read_note(path) | {"ended": utc_now(), "error": repr(error), "kept": kept}
    durable.replace(path / "attempt.json", json.dumps(note).encode())  # a full disk leaves the old one


def read_note(path: Path) -> dict[str, Any]:
    """Read the note of an attempt; empty where there is none."""
    try:
        return dict(json.loads((path / "attempt.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def read_notes(root: Path) -> tuple[dict[str, Any], ...]:
    """Read the notes of all attempts that have one, by name of their directories."""
    return tuple(note for path in sorted(root.iterdir()) if (note := read_note(path)))


def clear_dead(root: Path, pattern: str, *, silent_too: bool = False) -> None:
    """Remove the attempts that broke, or whose process is gone, and of which there is no sign for a week.

    Not removed is work on a relaxation that another attempt can go on from, and that is not kept yet.

    Parameters
    ----------
    root
        Directory of all attempts.
    pattern
        Which of them, as for ``Path.glob``.
    silent_too
        Also that, since it has been kept by now.
    """
    for path in root.glob(pattern):
        name = NAME.fullmatch(path.name)
        if name is None:
            continue
        note = read_note(path)
        gone = name["host"] == socket.gethostname() and not alive(int(name["pid"]))
        work_is_kept = silent_too or not (path / "work" / GONE_ON_FROM).is_file() or note.get("kept", False)
        if (work_is_kept and ("ended" in note or gone)) or _silent(path):
            shutil.rmtree(path, ignore_errors=True)


def unkept(note: dict[str, Any]) -> bool:
    """Whether an attempt has ended without keeping what it had done: without a word, or since it could not."""
    return not note.get("kept", False) if "ended" in note else not lives(note)


def is_running(note: dict[str, Any]) -> bool:
    """Whether an attempt has not ended and its process, if of this machine, lives."""
    return bool(note) and "ended" not in note and (note["host"] != socket.gethostname() or alive(note["pid"]))


def lives(note: dict[str, Any]) -> bool:
    """Whether the process of an attempt is of this machine, and lives."""
    return bool(note) and note["host"] == socket.gethostname() and alive(note["pid"])


def _silent(path: Path) -> bool:
    """Whether nothing in the directory of an attempt has changed for a week."""
    try:
        latest = max(one.stat().st_mtime for one in (path, *path.glob("*"), *path.glob("work/*")))
    except OSError:
        return False
    return time.time() - latest > SILENCE


def alive(pid: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
