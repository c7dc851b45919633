"""Looking into the index of an archive, for pages that show it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from defect_surrogate.archive.index_database import open_index, own_rows, stored_text
from defect_surrogate.errors import InputError

MOST_ROWS = 2**31
"""Largest limit and offset of a query: more is not a number to every database."""


@dataclass(frozen=True)
class IndexRow:
    """What the index says of a finished unit.

    Attributes
    ----------
    host
        Name of the host.
    defect
        Name and charge in doped's style.
    label
        Distortion label.
    level
        ``surrogate`` or ``reference``.
    key
        Digest of the unit's inputs, 64 hexadecimal digits.
    converged
        Whether it did.
    reason
        Why it ended.
    steps
        Ionic steps.
    energy
        Of the relaxed structure, eV; None where there is none, since it diverged.
    level_of_theory
        By what it was relaxed.
    directory
        Of the unit, below the root of the archive.
    formula
        Of the cell, in Hill's order, e.g. ``Cd3Te4``.
    """

    host: str
    defect: str
    label: str
    level: str
    key: str
    converged: bool
    reason: str
    steps: int
    energy: float | None
    level_of_theory: str
    directory: str
    formula: str


def find_rows(
    root: Path,
    *,
    host: str | None = None,
    defect: str | None = None,
    level: str | None = None,
    converged: bool | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[IndexRow]:
    """Return rows of the index, in the order of their directories.

    Parameters
    ----------
    root
        Of the archive.
    host, defect, level
        Exact names, of whatever origin; None for all.
    converged
        Only those that did, or did not; None for all.
    limit
        Largest number of rows, from 1.
    offset
        Number of rows to leave out at the beginning.

    Returns
    -------
    list of IndexRow
        Empty where there is no index.

    Raises
    ------
    InputError
        If ``limit`` or ``offset`` is out of range, or ``DEFECT_SURROGATE_INDEX`` cannot be used.
    ServiceError
        If the PostgreSQL database does not answer within some seconds, or refuses.
    ArchiveError
        If ``index.db`` cannot be read.
    """
    if not (1 <= limit <= MOST_ROWS and 0 <= offset <= MOST_ROWS):
        raise InputError(f"rows of an index: {limit=}, {offset=}: not between 1, or 0, and {MOST_ROWS}")
    selection = _selection(root, host=host, defect=defect, level=level, converged=converged)
    return [_row(one) for one in _select(root, selection, limit=limit, offset=offset)]


def count_rows(
    root: Path,
    *,
    host: str | None = None,
    defect: str | None = None,
    level: str | None = None,
    converged: bool | None = None,
) -> int:
    """Return how many rows ``find_rows`` would without a limit.

    Parameters
    ----------
    root
        Of the archive.
    host, defect, level
        Exact names, of whatever origin; None for all.
    converged
        Only those that did, or did not; None for all.

    Returns
    -------
    int
        0 where there is no index.

    Raises
    ------
    InputError
        If ``DEFECT_SURROGATE_INDEX`` cannot be used.
    ServiceError
        If the PostgreSQL database does not answer within some seconds, or refuses.
    ArchiveError
        If ``index.db`` cannot be read.
    """
    selection = _selection(root, host=host, defect=defect, level=level, converged=converged)
    with open_index(root) as database:
        return 0 if database is None else int(database.count(selection))


def indexed_structure(root: Path, key: str) -> Structure | None:
    """Return the relaxed structure of a unit.

    Parameters
    ----------
    root
        Of the archive.
    key
        Digest of the unit's inputs, of whatever origin. Units that start alike share it; the first of them is taken.

    Returns
    -------
    Structure or None
        None where there is no index, or no such unit in it.

    Raises
    ------
    InputError
        If ``DEFECT_SURROGATE_INDEX`` cannot be used.
    ServiceError
        If the PostgreSQL database does not answer within some seconds, or refuses.
    ArchiveError
        If ``index.db`` cannot be read.
    """
    for row in _select(root, _selection(root, key=key), limit=1, columns="all"):
        return Structure(row.cell, row.symbols, row.positions, coords_are_cartesian=True)
    return None


def _selection(root: Path, **filters: str | bool | None) -> list[tuple[str, str, str | bool]]:
    """Return a selection of ASE's with values as values: a text would be read as an expression."""
    stored = {name: stored_text(one) if isinstance(one, str) else one for name, one in filters.items()}
    return [*own_rows(root), *((name, "=", value) for name, value in stored.items() if value is not None)]


def _select(root: Path, selection: list[tuple[str, str, str | bool]], *, columns: Any = None, **more: int) -> list[Any]:
    columns = columns or ["id", "numbers", "energy", "key_value_pairs"]
    with open_index(root) as database:
        if database is None:
            return []
        return list(database.select(selection, sort="directory", include_data=False, columns=columns, **more))


def _row(row: Any) -> IndexRow:
    names = ("host", "defect", "label", "level", "key", "reason", "level_of_theory")
    return IndexRow(
        **{name: row[name].removesuffix("/") for name in names},
        converged=bool(row.converged),
        steps=int(row.steps),
        energy=row.get("energy"),
        directory=row.directory,
        formula=row.formula,
    )
