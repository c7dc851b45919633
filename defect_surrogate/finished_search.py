"""Searches that somebody else has run: a tree of ShakeNBreak folders with finished calculations, read back.

What cannot be read or believed is a failure with its reason, and the rest survives; so is what is of another defect or of
another level of theory than most folders. The defect and its site are found by comparison with the bulk supercell.
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from defect_surrogate.defect_site import (
    PointDefect,
    check_lattice,
    composition_difference,
    locate_defect,
    matching_order,
)
from defect_surrogate.errors import DefectSurrogateError, FolderError
from defect_surrogate.finished_majority import keep_one_defect, keep_one_level
from defect_surrogate.finished_relaxation import read_finished_relaxation, read_structure
from defect_surrogate.relaxation import Frame, Relaxation
from defect_surrogate.shakenbreak_folders import (
    HIGH_ENERGY,
    distortion_folders,
    find_energies_file,
    read_energies,
    standard_label,
)

logger = logging.getLogger(__name__)

_CHARGE = re.compile(r"_([+-]?[0-8])$")


@dataclass(frozen=True)
class FailedFolder:
    """A folder without a result, and why.

    Attributes
    ----------
    label
        Distortion label, or the name of the defect folder or of the energies file.
    error
        Class of the error.
    message
        What it said.
    """

    label: str
    error: str
    message: str


@dataclass(frozen=True)
class FinishedSearch:
    """Finished relaxations of one defect.

    Attributes
    ----------
    name
        Name of the defect as its energies file has it, e.g. ``vac_1_Cd_0``; as its folder has it where that gives another
        charge, or where energies files of a tree have one name.
    defect
        The defect found by comparison with the bulk; its ideal structure has the order of sites of ``relaxations``.
    relaxations
        Reference relaxations by distortion label, sorted.
    failures
        Distortions without a result, sorted.
    source
        Folder read.
    """

    name: str
    defect: PointDefect
    relaxations: Mapping[str, Relaxation]
    failures: tuple[FailedFolder, ...]
    source: Path


@dataclass(frozen=True)
class FinishedTree:
    """Finished searches of the defects of one host.

    Attributes
    ----------
    searches
        One for each defect folder, sorted by name, at least one.
    failures
        Defect folders of which nothing could be used.
    """

    searches: tuple[FinishedSearch, ...]
    failures: tuple[FailedFolder, ...]


def read_finished_searches(tree: Path, *, bulk: Structure) -> FinishedTree:
    """Read a tree of ShakeNBreak folders.

    Parameters
    ----------
    tree
        A defect folder, with the distortion folders directly under it, or a folder of defect folders.
    bulk
        Supercell of the host without defect.

    Returns
    -------
    FinishedTree
        The searches, and the defect folders that failed.

    Raises
    ------
    FolderError
        If nothing in the tree can be used; the message names the folder and what was found in it.
    """
    if not tree.is_dir():
        raise FolderError(f"{tree}: is not a folder")
    if distortion_folders(tree):
        return FinishedTree(searches=(_read_defect(tree, bulk=bulk),), failures=())
    folders = [path for path in sorted(tree.iterdir()) if path.is_dir() and distortion_folders(path)]
    if not folders:
        raise FolderError(
            f"{tree}: holds no distortion folder of ShakeNBreak (Unperturbed, Bond_Distortion_-30.0%, Dimer, Rattled), "
            "nor does any folder in it"
        )
    searches, failures = [], []
    for folder in folders:
        try:
            searches.append(_read_defect(folder, bulk=bulk))
        except FolderError as error:
            failures.append(FailedFolder(label=folder.name, error=type(error).__name__, message=str(error)))
    if not searches:
        raise FolderError("; ".join(failure.message for failure in failures))
    stems = Counter(search.name for search in searches)
    return FinishedTree(
        searches=tuple(
            search if stems[search.name] == 1 else replace(search, name=search.source.resolve().name)
            for search in searches
        ),
        failures=tuple(failures),
    )


def _read_defect(folder: Path, *, bulk: Structure) -> FinishedSearch:
    relaxations: dict[str, Relaxation] = {}
    failures: dict[str, DefectSurrogateError] = {}
    energies: dict[str, float | None] = {}
    energies_file = None
    try:
        energies_file = find_energies_file(folder)
        energies = read_energies(energies_file) if energies_file else {}
    except FolderError as error:
        failures["energies file"] = error
    for path in distortion_folders(folder):
        try:
            relaxation = read_finished_relaxation(path, energies=energies, energies_file=energies_file)
            _check_against(bulk, relaxation.structure, path)
            relaxations[path.name] = relaxation
        except DefectSurrogateError as error:
            failures[path.name] = error
    present = {standard_label(path.name.removesuffix(HIGH_ENERGY)) for path in distortion_folders(folder)}
    for label in energies.keys() - present:
        failures[label] = FolderError(f"{folder / label}: no such folder for the energy in the energies file")
    keep_one_defect(relaxations, failures, folder=folder, bulk=bulk)
    keep_one_level(relaxations, failures, folder=folder, energies=energies)
    if not relaxations:
        raise FolderError(f"{folder}: nothing can be used: {_summary(failures)}")

    starts = _read_starts(folder, like=next(iter(relaxations.values())).structure)
    structures = [*starts, *(relaxation.structure for relaxation in relaxations.values())]
    name, charge = _name_and_charge(folder, energies_file)
    try:
        defect = locate_defect(bulk, structures, charge=charge)
    except FolderError as error:
        raise FolderError(f"{folder}: {error}") from error
    for label in list(relaxations):
        try:
            order = matching_order(relaxations[label].structure, ideal=defect.ideal_structure)
            if order is not None:
                relaxations[label] = _reordered(relaxations[label], order)
        except FolderError as error:
            del relaxations[label]
            failures[label] = FolderError(f"{folder / label}: {error}")
    if not relaxations:
        raise FolderError(f"{folder}: nothing can be used: {_summary(failures)}")
    return FinishedSearch(
        name=name,
        defect=defect,
        relaxations=dict(sorted(relaxations.items())),
        failures=tuple(
            FailedFolder(label=label, error=type(error).__name__, message=str(error))
            for label, error in sorted(failures.items())
        ),
        source=folder,
    )


def _check_against(bulk: Structure, structure: Structure, folder: Path) -> None:
    try:
        composition_difference(bulk, structure)
        check_lattice(structure.lattice, bulk=bulk.lattice)
    except FolderError as error:
        raise FolderError(f"{folder}: {error}") from error


def _read_starts(folder: Path, *, like: Structure) -> list[Structure]:
    """Read the starts that can be read and have the right composition, the unperturbed one first."""
    starts = []
    for path in sorted(distortion_folders(folder), key=lambda path: (path.name != "Unperturbed", path.name)):
        try:
            start = read_structure(path / "POSCAR")
            check_lattice(start.lattice, bulk=like.lattice)
        except FolderError:
            continue
        if start.composition == like.composition:
            starts.append(start)
    return starts


def _reordered(relaxation: Relaxation, order: NDArray[np.intp]) -> Relaxation:
    return replace(
        relaxation,
        structure=_permuted(relaxation.structure, order),
        frames=tuple(
            Frame(_permuted(frame.structure, order), frame.energy, frame.forces[order], frame.stress)
            for frame in relaxation.frames
        ),
    )


def _permuted(structure: Structure, order: NDArray[np.intp]) -> Structure:
    return Structure.from_sites([structure[i] for i in order.tolist()])


def _name_and_charge(folder: Path, energies_file: Path | None) -> tuple[str, int]:
    """Take the energies file's name, as ``snb-parse`` does, unless the folder's own has another charge."""
    name, stem = folder.resolve().name, energies_file.stem if energies_file else ""
    of_folder, of_file = _CHARGE.search(name), _CHARGE.search(stem)
    if of_file and (of_folder is None or int(of_folder[1]) == int(of_file[1])):
        return stem, int(of_file[1])
    if of_folder is None:
        logger.warning("%s: no charge at the end of the name (as in v_Cd_-1): taken as neutral", folder)
        return name, 0
    if of_file:
        logger.warning("%s: charge %s, though its energies file is %s.yaml", folder, of_folder[1], stem)
    return name, int(of_folder[1])


def _summary(failures: Mapping[str, DefectSurrogateError]) -> str:
    first = next(iter(failures.values()))
    return f"{first} (and {len(failures) - 1} more)" if len(failures) > 1 else str(first)
