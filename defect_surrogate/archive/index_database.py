"""Where the index of an archive is, an SQLite file or a PostgreSQL database, and how it is opened."""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from ase.db import connect
from ase.db.core import str_represents

from defect_surrogate.errors import ArchiveError, InputError

INDEX_VARIABLE = "DEFECT_SURROGATE_INDEX"
"""Environment variable with the address of a PostgreSQL database for the indices of all archives."""


def index_location(root: Path) -> str:
    """Return where the index of an archive is.

    Parameters
    ----------
    root
        Of the archive.

    Returns
    -------
    str
        What the environment variable ``DEFECT_SURROGATE_INDEX`` says, such as ``postgresql://user@host:5432/database``; else
        the path of ``index.db`` below the root.

    Raises
    ------
    InputError
        If the variable is set to something else. No password is shown.
    """
    value = os.environ.get(INDEX_VARIABLE)
    if not value:
        return str(root / "index.db")
    try:
        url = urlsplit(value)
        usable = url.scheme == "postgresql" and (url.port is None or url.port > 0)
    except ValueError:  # the port is no number, for example since the password has a slash
        usable = False
    if not usable:
        raise InputError(
            f"{INDEX_VARIABLE}={without_password(value)}: not the address of a PostgreSQL database: "
            "give postgresql://user@host:5432/database, or unset it"
        )
    return value


def without_password(value: str) -> str:
    """Return an address, or what was meant to be one, with stars for what may be a password."""
    value = re.sub(r"^([\w+]+://)?([^:@/]*):.*@", r"\1\2:***@", value, flags=re.DOTALL)
    return re.sub(r"(password\s*=\s*)('[^']*'|[^&\s]*)", r"\1***", value, flags=re.IGNORECASE)


def is_postgresql(location: str) -> bool:
    """Whether an index is not a file."""
    return location.startswith("postgresql:")


def stored_text(value: str) -> str:
    """Return the text that a row has for a value, and is found by.

    ASE keeps no text that it could take for a number or truth value, such as the host InF: a slash follows these, which none of
    our names has. No database keeps a character 0 or half of a surrogate pair.
    """
    text = value.encode(errors="replace").decode().replace("\0", "?")
    return f"{text}/" if any(str_represents(text, kind) for kind in (bool, int, float)) else text


def archive_name(root: Path) -> str:
    """Return what tells the rows of an archive from those of others in one PostgreSQL database: its path."""
    return stored_text(str(root.resolve()))


def own_rows(root: Path) -> list[tuple[str, str, str]]:
    """Return the beginning of a selection of ASE's: of all rows those of this archive."""
    return [("archive", "=", archive_name(root))] if is_postgresql(index_location(root)) else []


@contextlib.contextmanager
def open_index(root: Path) -> Iterator[Any]:
    """Open the index of an archive for queries.

    Parameters
    ----------
    root
        Of the archive.

    Yields
    ------
    ase.db.core.Database or None
        On one connection; None if there is no index yet.

    Raises
    ------
    InputError
        If ``DEFECT_SURROGATE_INDEX`` is no address of a PostgreSQL database, or what that needs is not installed.
    ServiceError
        If that database does not answer within some seconds, or refuses.
    ArchiveError
        If ``index.db`` cannot be read.
    """
    location = index_location(root)
    if is_postgresql(location):
        with postgresql().reading(location, shown=without_password(location)) as database:
            yield database
    elif Path(location).is_file():
        try:
            with connect(location, type="db", use_lock_file=False) as database:  # a killed process would leave the lock
                yield database
        except (sqlite3.Error, OSError) as error:
            raise ArchiveError(f"{location}: cannot be read: {error}; reindex makes it anew") from error
    else:
        yield None


def postgresql() -> ModuleType:
    """Return the module for PostgreSQL.

    Raises
    ------
    InputError
        If its libraries are not installed.
    """
    try:
        from defect_surrogate.archive import index_postgresql  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise InputError(
            f"{INDEX_VARIABLE} is set, but {error.name} is not installed: pip install 'defect-surrogate[postgresql]'"
        ) from error
    return index_postgresql
