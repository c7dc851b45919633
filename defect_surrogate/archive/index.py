"""The ASE database of finished units: a view for queries, made anew from the archive at will."""

import contextlib
import logging
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from pymatgen.io.ase import AseAtomsAdaptor

from defect_surrogate.archive.index_database import (
    archive_name,
    index_location,
    is_postgresql,
    postgresql,
    stored_text,
    without_password,
)
from defect_surrogate.archive.records import ForeignRecordError, Record, read_record
from defect_surrogate.archive.store import Archive
from defect_surrogate.archive.unfinished import KEY_DIGITS
from defect_surrogate.errors import ArchiveError

logger = logging.getLogger(__name__)

ABANDONED_SECONDS = 86400.0
"""Age at which the draft of an index is taken for that of a killed process, s (our choice)."""

ROWS = "SELECT id, value FROM text_key_values WHERE key = 'directory'"
OWN_ROWS = (
    "SELECT id, value FROM text_key_values WHERE key = 'directory' "
    "AND id IN (SELECT id FROM text_key_values WHERE key = 'archive' AND value = ?)"
)


def reindex(archive: Archive) -> int:
    """Make the index anew from the finished units, verifying every file, and swap it in at once.

    Each row holds the relaxed structure, its energy in eV, and ``host``, ``defect``, ``label``, ``level``, ``key``,
    ``converged``, ``reason``, ``steps``, ``level_of_theory`` and ``directory`` to select by; in PostgreSQL also ``archive``.

    Parameters
    ----------
    archive
        Where the units are.

    Returns
    -------
    int
        Number of units in the index.

    Raises
    ------
    InputError
        If ``DEFECT_SURROGATE_INDEX`` cannot be used.
    ServiceError
        If the PostgreSQL database does not answer within some seconds, or refuses. It keeps what it had.
    ArchiveError
        If a unit cannot be read, or ``index.db`` not be written. It stays as it was.
    """
    with _changed(archive.root, anew=True) as (database, own):
        database.delete(list(_directories(database, own)))
        return _add(database, own, archive.records(), root=archive.root)


def update_index(archive: Archive) -> int:
    """Add the finished units that the index lacks, and remove those that are gone; units that it has are not read.

    What cannot be read is left out and logged; a look-up decides about it.

    Parameters
    ----------
    archive
        Where the units are.

    Returns
    -------
    int
        Number of units that were added.

    Raises
    ------
    InputError
        If ``DEFECT_SURROGATE_INDEX`` cannot be used.
    ServiceError
        If the PostgreSQL database does not answer within some seconds, or refuses. It keeps what it had.
    ArchiveError
        If ``index.db`` cannot be written. It stays as it was.
    """
    root = archive.root
    with _changed(root, anew=False) as (database, own):
        known = _directories(database, own)
        files = (root / "units").glob("*/*/*/*/*/unit.json")  # after the rows, so that no unit seems gone that is new
        finished = {_directory(root, file.parent): file.parent for file in files}
        database.delete([number for number, directory in known.items() if directory not in finished])
        missing = sorted(finished.keys() - set(known.values()))
        return _add(database, own, _read(root, (finished[directory] for directory in missing)), root=root)


@contextlib.contextmanager
def _changed(root: Path, *, anew: bool) -> Iterator[tuple[Any, dict[str, str]]]:
    """Give the index to be changed, whole or not at all, and what tells this archive's rows from others in it."""
    location = index_location(root)
    if is_postgresql(location):
        name = archive_name(root)
        with postgresql().writing(location, shown=without_password(location), archive=name) as database:
            yield database, {"archive": name}
    else:
        with _draft(Path(location), anew=anew) as database:
            yield database, {}


@contextlib.contextmanager
def _draft(index: Path, *, anew: bool) -> Iterator[Any]:
    """Give a copy of a database, or an empty one, and swap it in; of two at once the later wins."""
    draft = index.with_name(f"index-{uuid.uuid4().hex[:8]}.db")
    try:
        if not anew:
            _copy(index, draft)
        with connect(draft, type="db", use_lock_file=False) as database:
            database.count()  # makes the tables
            yield database
        os.replace(draft, index)
    except (sqlite3.Error, OSError) as error:
        raise ArchiveError(f"{index}: cannot be brought up to date: {error}") from error
    finally:
        for path in index.parent.glob(f"index-{'[0-9a-f]' * 8}.db*"):
            with contextlib.suppress(FileNotFoundError):
                if path.name.startswith(draft.name) or time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()


def _copy(index: Path, draft: Path) -> None:
    """Copy an index that can be read."""
    try:
        shutil.copyfile(index, draft)
        with connect(draft, type="db", use_lock_file=False) as database:
            _directories(database, {})
    except FileNotFoundError:
        return
    except sqlite3.Error as error:
        logger.warning("%s: cannot be read, and is made anew: %s", index, error)
        draft.unlink()


def _directories(database: Any, own: dict[str, str]) -> dict[int, str]:
    """Return the ids and directories of this archive's rows."""
    cursor = database.connection.cursor()
    cursor.execute(OWN_ROWS if own else ROWS, tuple(own.values()))
    return dict(cursor.fetchall())


def _directory(root: Path, path: Path) -> str:
    return stored_text(path.relative_to(root).as_posix())


def _read(root: Path, paths: Iterable[Path]) -> Iterator[Record]:
    """Yield the units in directories, but for those that a look-up would not believe."""
    for path in paths:
        try:
            record = read_record(path, thorough=False)
            if path != root / "units" / record.name / record.key[:KEY_DIGITS]:
                raise ValueError(f"holds {record.name} with key {record.key[:KEY_DIGITS]}")
        except (OSError, ValueError, KeyError, TypeError, ForeignRecordError) as error:
            logger.warning("%s: left out of the index: %s: %s", path, type(error).__name__, error)
        else:
            yield record


def _add(database: Any, own: dict[str, str], records: Iterable[Record], *, root: Path) -> int:
    count = 0
    for record in records:
        host, defect, label, level = record.name.split("/")
        relaxation = record.relaxation
        atoms = AseAtomsAdaptor.get_atoms(relaxation.structure, msonable=False)
        if np.isfinite(relaxation.energy):
            atoms.calc = SinglePointCalculator(atoms, energy=relaxation.energy)
        database.write(
            atoms,
            **own,
            host=stored_text(host),
            defect=stored_text(defect),
            label=stored_text(label),
            level=level,
            key=stored_text(record.key),
            converged=relaxation.converged,
            reason=stored_text(relaxation.reason),
            steps=relaxation.steps,
            level_of_theory=stored_text(relaxation.provenance.level_of_theory),
            directory=_directory(root, record.path),
        )
        count += 1
    return count
