"""Where the archive keeps work on its way: how far a surrogate relaxation is, and runs of VASP that were interrupted."""

import contextlib
import shutil
from pathlib import Path

from defect_surrogate.relaxation import Unit

KEY_DIGITS = 16
"""Hexadecimal digits of the key in a directory's name; all 64 stand in ``unit.json`` and are compared."""


def unfinished_path(root: Path, unit: Unit) -> Path:
    """File of a unit that is on its way, below the root of an archive; whether it is there or not."""
    return root / "unfinished" / unit.name / unit.key[:KEY_DIGITS]


def segment_path(root: Path, unit: Unit, number: int) -> Path:
    """Directory of what the interrupted run of this number, from 1, has done; whether it is there or not."""
    return unfinished_path(root, unit).with_name(f"{unit.key[:KEY_DIGITS]}.segment-{number}")


def segment_paths(root: Path, unit: Unit) -> list[Path]:
    """Directories of the segments that are there, in order."""
    paths: list[Path] = []
    while (path := segment_path(root, unit, len(paths) + 1)).is_dir():
        paths.append(path)
    return paths


def latest_change(root: Path, unit: Unit) -> float:
    """Time of the latest change, s since the epoch; 0 if nothing is kept."""
    latest = 0.0
    for path in _all(root, unit):
        with contextlib.suppress(FileNotFoundError):  # a draft that was just renamed
            latest = max(latest, path.stat().st_mtime)
    return latest


def forget(root: Path, unit: Unit) -> None:
    """Remove all that is kept of a unit, drafts of killed workers too."""
    for path in _all(root, unit):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _all(root: Path, unit: Unit) -> list[Path]:
    return list(unfinished_path(root, unit).parent.glob(f"{unit.key[:KEY_DIGITS]}*"))
