"""Which files of a run folder are served.

Of the address that a browser asks for, each part between slashes is decoded once and taken as the name of one folder or file;
nothing is resolved. A file is opened folder by folder, and no symbolic link is followed on the way, so that what is served lies
where its name says, even if somebody renames things meanwhile.
"""

import os
import re
import stat
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote_to_bytes

from defect_surrogate.reports.files import CAMPAIGN_FILE
from defect_surrogate.reports.results import RESULTS_FILE

PAGE_FILE, ALLOY_FILE, OVERVIEW_FILE = "report.html", "alloy.json", "overview.svg"

CONTENT_TYPES = {
    PAGE_FILE: "text/html; charset=utf-8",
    RESULTS_FILE: "text/csv; charset=utf-8",
    CAMPAIGN_FILE: "application/json",
    ALLOY_FILE: "application/json",
    OVERVIEW_FILE: "image/svg+xml",
    "summary.md": "text/markdown; charset=utf-8",
}
"""Files of a run folder that are served, besides the POSCARs of its minima."""

SHOWN = (PAGE_FILE, OVERVIEW_FILE)
"""Of these, what a browser shows; the others it saves."""

POSCAR_TYPE = "text/plain; charset=utf-8"

MOST_NAMES = 32
"""Most folders, and a file, of an address; with thousands a request would cost more than it should."""

_REFUSED_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
_BARE = re.compile(r"[^A-Za-z0-9._+-]")


def requested_names(raw_path: bytes) -> tuple[str, ...] | None:
    """Take the address of a request apart, below its first part.

    Parameters
    ----------
    raw_path
        Path of the request as it came, percent-encoded, e.g. ``/files/runs/CdTe/report.html``.

    Returns
    -------
    tuple of str or None
        Names of folders and of the file, e.g. ``("runs", "CdTe", "report.html")``, as ``os.fsdecode`` writes them; None if a
        part is no name: empty, ``.``, ``..``, or with a slash or NUL in it; or if there are more than any of our files has.
    """
    parts = raw_path.split(b"/")[2:]
    if len(parts) > MOST_NAMES:
        return None
    names = tuple(os.fsdecode(unquote_to_bytes(part)) for part in parts)
    return None if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names) else names


def address(*names: str) -> str:
    """Write an address of this server.

    Parameters
    ----------
    names
        Its parts, unquoted.

    Returns
    -------
    str
        The path; whatever is not a letter, digit, ``-``, ``.``, ``_`` or ``~`` is quoted.
    """
    return "/" + "/".join(quote(os.fsencode(name), safe="") for name in names)


def is_servable(name: str) -> bool:
    """Whether a folder or file of this name may lie on the way to what is served.

    Parameters
    ----------
    name
        One part of a path.

    Returns
    -------
    bool
        False for hidden ones, and for names with control characters, line ends, double quotes, backslashes, or bytes that
        are not UTF-8.
    """
    refused = any(char in '"\\' or unicodedata.category(char) in _REFUSED_CATEGORIES for char in name)
    return bool(name) and not name.startswith(".") and not refused


def content_type(names: tuple[str, ...]) -> str | None:
    """Content type of a file of a run folder.

    Parameters
    ----------
    names
        Names of folders below the run folder, and of the file.

    Returns
    -------
    str or None
        None for a file that is not served.
    """
    if not names or not all(map(is_servable, names)):
        return None
    if len(names) > 1:
        return POSCAR_TYPE if names[0] == "minima" and names[-1].endswith(".vasp") else None
    return CONTENT_TYPES.get(names[0])


def file_address(run: tuple[str, ...], file: str) -> str | None:
    """Address of a file that a report names.

    Parameters
    ----------
    run
        Names of the folders from the root to that of the run.
    file
        Its path relative to the run folder, with ``/``, as a report has it.

    Returns
    -------
    str or None
        None for a file that is not served.
    """
    names = tuple(file.split("/"))
    return address("files", *run, *names) if all(map(is_servable, run)) and content_type(names) else None


def served_file(
    names: tuple[str, ...], *, root: Path, is_run: Callable[[tuple[str, ...]], bool]
) -> tuple[str, BinaryIO] | None:
    """Open a file that may be served.

    Parameters
    ----------
    names
        Names of the folders from the root to the file, and of the file.
    root
        The served folder, resolved.
    is_run
        Whether the folder with these names below the root is that of a search or a sweep.

    Returns
    -------
    tuple of str and file object, or None
        Content type and the open file; None for a file that is not served, or is not there.
    """
    if not all(map(is_servable, names)):
        return None
    depth = next((depth for depth in reversed(range(len(names))) if is_run(names[:depth])), None)
    kind = None if depth is None else content_type(names[depth:])
    stream = None if kind is None else _opened(root, names)
    return None if kind is None or stream is None else (kind, stream)


def _opened(root: Path, names: tuple[str, ...]) -> BinaryIO | None:
    """Open a regular file without following a symbolic link below the root."""
    folder = None
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        for name in names[:-1]:
            outer, folder = folder, os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(outer)
        stream = os.fdopen(os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb")
    except OSError:
        return None
    finally:
        if folder is not None:
            os.close(folder)
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.close()
    return None


def disposition(name: str, *, shown: bool) -> str:
    """Write the header ``Content-Disposition`` (RFC 6266).

    Parameters
    ----------
    name
        Name of the file, any text.
    shown
        Whether the browser is to show it and not to save it.

    Returns
    -------
    str
        ASCII, without line ends; the name in it has no characters that change the direction of writing.
    """
    if shown:
        return "inline"
    visible = "".join(char if unicodedata.category(char)[0] not in "CZ" else "_" for char in name)
    return f"attachment; filename=\"{_BARE.sub('_', visible)}\"; filename*=UTF-8''{quote(visible, safe='')}"
