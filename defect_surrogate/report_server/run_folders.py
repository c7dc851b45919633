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

HOST_DEPTH = 4
"""How many folders below the served one the folder of a campaign's host lies: ``campaigns/NAME/hosts/HOST``."""

NEVER_ENTERED = frozenset(("archive", "prefect", "workers", "structures", "sampling", "minima", "host", "logs"))
"""Folders in which no run lies, unless they are those of a campaign's hosts, whose names are free; hidden ones are not entered
either, and symbolic links are not followed."""

NOTES = {"run.json": CAMPAIGN_FILE, "sweep.json": ALLOY_FILE}
"""Notes of what was asked for, and the report that comes of each."""


def campaign_of(names: tuple[str, ...]) -> str | None:
    """Name of the campaign that a folder ``campaigns/NAME/hosts/HOST``, or one below, is of.

    Parameters
    ----------
    names
        Names of the folders from the served one on.

    Returns
    -------
    str or None
        None for other folders.
    """
    return names[1] if len(names) >= HOST_DEPTH and names[0] == "campaigns" and names[2] == "hosts" else None


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
            inner = [(*names, name) for name, entry in entries.items() if entry.is_dir(follow_symlinks=False)]
            waiting += filter(_is_entered, inner)


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
    if len(names) > DEEPEST:
        return None
    ways = [names[: depth + 1] for depth in range(len(names))]
    if not all(map(_is_entered, ways)) or any(os.path.islink(os.path.join(root, *way)) for way in ways):
        return None
    return _marker(_entries(os.path.join(root, *names)))


def _entries(path: str) -> dict[str, os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return {entry.name: entry for entry in entries}
    except OSError as error:
        logger.debug("%s: %s", path, error)
        return {}


def _is_entered(names: tuple[str, ...]) -> bool:
    name, is_host = names[-1], len(names) == HOST_DEPTH and campaign_of(names) is not None
    return (is_host or name not in NEVER_ENTERED) and not name.startswith(".") and "\0" not in name


def _marker(entries: dict[str, os.DirEntry[str]]) -> os.DirEntry[str] | None:
    names = (ALLOY_FILE, CAMPAIGN_FILE, *NOTES)
    return next(
        (entries[name] for name in names if name in entries and entries[name].is_file(follow_symlinks=False)), None
    )
