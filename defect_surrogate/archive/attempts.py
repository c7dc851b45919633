"""Attempts at units: a directory each, named after the process that works in it, so that the dead can be told and cleared."""

import json
import os
import re
import shutil
import socket
import uuid
from pathlib import Path
from typing import Any

from defect_surrogate.archive import durable
from defect_surrogate.archive.records import utc_now
from defect_surrogate.relaxation import Unit

NAME = re.compile(r"[0-9a-f]+-(?P<host>.+)-(?P<pid>[0-9]+)-[0-9a-f]{8}")


def begin(root: Path, unit: Unit, *, prefix: str) -> Path:
    """Make the directory of an attempt, with its note ``attempt.json``: unit, key, pid, host and start.

    Earlier attempts at the same unit that are dead are removed.

    Parameters
    ----------
    root
        Directory of all attempts.
    unit
        What will be computed.
    prefix
        Beginning of the name, hexadecimal digits of the unit's key.

    Returns
    -------
    Path
        The directory.
    """
    clear_dead(root, f"{prefix}-*")
    pid, host = os.getpid(), socket.gethostname()
    path = root / f"{prefix}-{host}-{pid}-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    note = {"unit": unit.name, "key": unit.key, "pid": pid, "host": host, "started": utc_now()}
    durable.write_synced(path / "attempt.json", json.dumps(note))
    return path


def note_end(path: Path, error: BaseException) -> None:
    """Add to the note of an attempt that it broke, and how."""
    note = read_note(path) | {"ended": utc_now(), "error": repr(error)}
    durable.write_synced(path / "attempt.json", json.dumps(note))


def read_note(path: Path) -> dict[str, Any]:
    """Read the note of an attempt; empty where there is none."""
    try:
        return dict(json.loads((path / "attempt.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def read_notes(root: Path) -> tuple[dict[str, Any], ...]:
    """Read the notes of all attempts that have one, by name of their directories."""
    return tuple(note for path in sorted(root.iterdir()) if (note := read_note(path)))


def clear_dead(root: Path, pattern: str) -> None:
    """Remove the attempts of this machine that broke, or whose process is gone.

    Parameters
    ----------
    root
        Directory of all attempts.
    pattern
        Which of them, as for ``Path.glob``.
    """
    for path in root.glob(pattern):
        name = NAME.fullmatch(path.name)
        if name is None or name["host"] != socket.gethostname():
            continue
        if not _alive(int(name["pid"])) or "ended" in read_note(path):
            shutil.rmtree(path, ignore_errors=True)


def is_running(note: dict[str, Any]) -> bool:
    """Whether an attempt has not ended and its process, if of this machine, lives."""
    return bool(note) and "ended" not in note and (note["host"] != socket.gethostname() or _alive(note["pid"]))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
