"""Notes on units whose work broke: one file each, gone when the unit is finished."""

import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from defect_surrogate.archive import durable
from defect_surrogate.archive.records import utc_now
from defect_surrogate.relaxation import Unit

DROPPED = "dropped.log"
"""Lists the results that were dropped."""


@dataclass(frozen=True)
class Failure:
    """A unit whose work broke, and how.

    Attributes
    ----------
    name
        Identity of the unit.
    key
        Digest of the unit's inputs.
    error
        Class of the error.
    message
        What it said.
    time
        UTC, ISO 8601.
    """

    name: str
    key: str
    error: str
    message: str
    time: str


def write_failure(path: Path, failure: Failure) -> None:
    """Write a note, replacing an earlier one at once.

    Parameters
    ----------
    path
        File of the unit.
    failure
        What broke.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{uuid.uuid4().hex[:8]}.tmp")
    durable.write_synced(temporary, json.dumps(asdict(failure)))
    os.replace(temporary, path)


def read_failure(path: Path) -> Failure | None:
    """Read a note; None where there is none, or none that can be read."""
    try:
        return Failure(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def read_failures(folder: Path) -> tuple[Failure, ...]:
    """Read all notes below a folder that can be read, by name."""
    found = (read_failure(path) for path in sorted(folder.rglob("*.json")))
    return tuple(failure for failure in found if failure is not None)


def note_dropped(root: Path, unit: Unit) -> None:
    """Note that a result was dropped, since another worker had been first: that the unit was computed twice.

    Parameters
    ----------
    root
        Of the archive.
    unit
        That was computed twice.
    """
    with (root / DROPPED).open("a", encoding="utf-8") as stream:
        stream.write(f"{utc_now()} {unit.name} {unit.key}\n")
