"""From finished calculations to one dataset: what is taken, what is not, and why.

Every relaxation on disk has a row in the table, with the steps found, taken and dropped. A dataset has one level of theory:
energies of two have different zeros, and a force field would learn the difference as physics.
"""

import csv
import io
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.dataset.host_compositions import host_by_name, host_by_rounding, is_of_host, reduced_formula
from defect_surrogate.dataset.potcars import check_potcars
from defect_surrogate.dataset.sources import FoundRelaxation, find_relaxations, host_structures
from defect_surrogate.errors import DatasetError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IngestedRelaxation:
    """What became of one relaxation on disk.

    Attributes
    ----------
    tree
        Folder tree, run folder or archive that it was found in.
    folder
        Its folder.
    host, defect, label
        Names in the dataset; as found where nothing was taken.
    found, taken, dropped
        Numbers of ionic steps; found = taken + dropped.
    reasons
        Why steps were dropped, or nothing could be read, in words; empty if all were taken.
    """

    tree: str
    folder: str
    host: str
    defect: str
    label: str
    found: int
    taken: int
    dropped: int
    reasons: str


@dataclass(frozen=True)
class Ingested:
    """A dataset and where it comes from.

    Attributes
    ----------
    dataset
        All frames taken.
    table
        One row for each relaxation on disk, in the order found.
    """

    dataset: Dataset
    table: tuple[IngestedRelaxation, ...]


def ingest(trees: Sequence[Path], *, host: str | None = None) -> Ingested:
    """Read the reference relaxations in folder trees, run folders and archives.

    Parameters
    ----------
    trees
        Each is searched at any depth.
    host
        Name of the host of all that is in folder trees; that of the folder above each defect's when None. Archives have names.

    Returns
    -------
    Ingested
        Frames with the reduced formula of their host. It is that of a bulk calculation or structure where there is one, else
        worked out from the defects; what is not of the same host as the rest is dropped. The second relaxation with the same
        label is ``…_2``.

    Raises
    ------
    DatasetError
        If there is nothing to take, a tree is not a folder, two levels of theory, two POTCARs of one element or two
        compositions of one host meet, or the composition of a host cannot be worked out. It names the folders.
    """
    found = [(tree, one) for tree in trees for one in find_relaxations(tree, host=host)]
    if not found:
        raise DatasetError(f"{_joined(trees)}: no finished calculation there, and no archived reference relaxation")
    taken = _told_apart([_of_its_host(one, formula) for one, formula in _with_formulas([one for _, one in found])])
    table = tuple(_row(tree, one) for (tree, _), one in zip(found, taken, strict=True))
    if not any(row.taken for row in table):
        first = next(row for row in table if row.reasons)
        raise DatasetError(
            f"{_joined(trees)}: nothing to take from {len(table)} folders: {first.folder}: {first.reasons}"
        )
    level = _level_of_theory(taken)
    potcars = check_potcars((title, path) for one in taken if one.frames for title, path in one.potcars)
    _check_hosts(taken)
    frames = sorted((frame for one in taken for frame in one.frames), key=_place)
    logger.info("%d frames of %d relaxations taken, %s", len(frames), sum(row.taken > 0 for row in table), level)
    return Ingested(Dataset(level, tuple(frames), potcars), table)


def table_csv(table: Sequence[IngestedRelaxation]) -> str:
    """Return the table of what was taken as CSV.

    Parameters
    ----------
    table
        Rows, in the order of the file.

    Returns
    -------
    str
        Names of the columns, then a line for each row.
    """
    names = [field.name for field in fields(IngestedRelaxation)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in table)
    return text.getvalue()


def _with_formulas(found: Sequence[FoundRelaxation]) -> list[tuple[FoundRelaxation, str]]:
    """Pair each relaxation with the reduced formula of its host; with nothing where it has no frames."""
    members: dict[Path, list[FoundRelaxation]] = {}
    for one in found:
        if one.frames:
            members.setdefault(one.host_folder, []).append(one)
    formulas = {folder: _formula(folder, group) for folder, group in members.items()}
    return [(one, formulas[one.host_folder] if one.frames else "") for one in found]


def _formula(host_folder: Path, members: Sequence[FoundRelaxation]) -> str:
    """Return the formula that most bulk structures and defects' names give; rounding decides where these say nothing."""
    votes = Counter(reduced_formula(one.counts) for one in members if one.frames[0].is_bulk)
    votes.update(
        reduced_formula(counts) for counts in host_structures(host_folder, [one.path.parent for one in members])
    )
    votes.update(formula for one in members if (formula := host_by_name(one.counts, one.defect)))
    votes = votes or Counter(formula for one in members if (formula := host_by_rounding(one.counts)))
    if not votes:
        one = members[0]
        raise DatasetError(
            f"{host_folder}: of which host {one.defect} in {one.counts} is cannot be worked out from its name; put the "
            "structure of the host there as bulk_POSCAR"
        )
    return votes.most_common(1)[0][0]


def _of_its_host(one: FoundRelaxation, formula: str) -> FoundRelaxation:
    """Give the frames the formula of their host, or drop them if they cannot be of it."""
    if not one.frames:
        return one
    if not is_of_host(one.counts, one.defect, formula=formula):
        fault = f"{one.counts} is not {one.defect} of {formula}, the host of most relaxations in {one.host_folder}"
        return replace(one, frames=(), levels=(), dropped=(*one.dropped, fault))
    return replace(one, frames=tuple(replace(frame, composition=formula) for frame in one.frames))


def _told_apart(found: Sequence[FoundRelaxation]) -> list[FoundRelaxation]:
    """Drop what was taken from the same file or unit before, and number labels that meet."""
    sources: dict[str, Path] = {}
    names: set[tuple[str, str, str]] = set()
    different = []
    for one in found:
        if not one.frames:
            different.append(one)
        elif (earlier := sources.setdefault(one.frames[0].source, one.path)) is not one.path:
            different.append(replace(one, frames=(), levels=(), dropped=(*one.dropped, f"the same as {earlier}")))
        else:
            number, label = 1, one.label
            while (one.host, one.defect, label) in names:
                number += 1
                label = f"{one.label}_{number}"
            names.add((one.host, one.defect, label))
            frames = tuple(replace(frame, label=label) for frame in one.frames)
            different.append(replace(one, label=label, frames=frames))
    return different


def _level_of_theory(taken: Sequence[FoundRelaxation]) -> str:
    where: dict[str, Path] = {}
    for one in taken:
        for level, path in one.levels if one.frames else ():
            where.setdefault(level, path)
    if len(where) > 1:
        raise DatasetError(
            f"{len(where)} levels of theory cannot be in one dataset: "
            + "; ".join(f"{level} in {path}" for level, path in where.items())
        )
    return next(iter(where))


def _check_hosts(taken: Sequence[FoundRelaxation]) -> None:
    formulas: dict[str, tuple[str, Path]] = {}
    for one in taken:
        if one.frames:
            formula, path = formulas.setdefault(one.host, (one.frames[0].composition, one.path))
            if one.frames[0].composition != formula:
                raise DatasetError(
                    f"host {one.host!r} is {formula} in {path} and {one.frames[0].composition} in {one.path}: rename one "
                    "of the folders"
                )


def _row(tree: Path, one: FoundRelaxation) -> IngestedRelaxation:
    count = len(one.frames)
    return IngestedRelaxation(
        tree=str(tree),
        folder=str(one.path),
        host=one.host,
        defect=one.defect,
        label=one.label,
        found=one.found,
        taken=count,
        dropped=one.found - count,
        reasons="; ".join(one.dropped),
    )


def _place(frame: LabelledFrame) -> tuple[str, str, str, int]:
    return frame.host, frame.defect, frame.label, frame.step


def _joined(trees: Sequence[Path]) -> str:
    return ", ".join(str(tree) for tree in trees) or "(no tree given)"
