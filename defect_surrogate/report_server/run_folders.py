"""Where runs lie below the served folder: which folders are entered, and what makes one the folder of a run.

A run is a folder with a report, ``campaign.json`` or ``alloy.json``, or with the note of what was asked for, ``run.json`` or
``sweep.json``, while it has no report yet.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from defect_surrogate.report_server.access import ALLOY_FILE
from defect_surrogate.reports.files import CAMPAIGN_FILE

logger = logging.getLogger(__name__)

DEEPEST = 6
"""How many folders below the served one a run may lie."""

NEVER_ENTERED = frozenset(("archive", "prefect", "workers", "structures", "sampling", "minima", "host", "logs"))
"""Folders in which no run lies; hidden ones are not entered either, and symbolic links are not followed."""

NOTES = {"run.json": CAMPAIGN_FILE, "sweep.json": ALLOY_FILE}
"""Notes of what was asked for, and the report that comes of each."""


def run_folders(root: Path) -> Iterator[tuple[tuple[str, ...], os.DirEntry[str]]]:
    """Find the folders of runs.

    Parameters
    ----------
    root
        The served folder.

    Yields
    ------
    tuple of names, and os.DirEntry
        Names of the folders from the root to that of a run, and its report, or its note while there is none.
    """
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        names = waiting.pop()
        entries = _entries(os.path.join(root, *names))
        if (marker := _marker(entries)) is not None:
            yield names, marker
        if len(names) < DEEPEST:
            inner = (name for name, entry in entries.items() if entry.is_dir(follow_symlinks=False))
            waiting += [(*names, name) for name in inner if _is_entered(name)]


def run_marker(root: Path, names: tuple[str, ...]) -> os.DirEntry[str] | None:
    """Return what makes a folder that of a run, without looking at other folders.

    Parameters
    ----------
    root
        The served folder.
    names
        Names of the folders from the root to it.

    Returns
    -------
    os.DirEntry or None
        Its report, or its note while there is none; None if ``run_folders`` would not find a run there.
    """
    if len(names) > DEEPEST or not all(map(_is_entered, names)):
        return None
    ways = [os.path.join(root, *names[: depth + 1]) for depth in range(len(names))]
    return None if any(map(os.path.islink, ways)) else _marker(_entries(os.path.join(root, *names)))


def _entries(path: str) -> dict[str, os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return {entry.name: entry for entry in entries}
    except OSError as error:
        logger.debug("%s: %s", path, error)
        return {}


def _is_entered(name: str) -> bool:
    return name not in NEVER_ENTERED and not name.startswith(".") and "\0" not in name


def _marker(entries: dict[str, os.DirEntry[str]]) -> os.DirEntry[str] | None:
    names = (ALLOY_FILE, CAMPAIGN_FILE, *NOTES)
    return next(
        (entries[name] for name in names if name in entries and entries[name].is_file(follow_symlinks=False)), None
    )
