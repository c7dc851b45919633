"""Reference relaxations found on disk: in folder trees of finished calculations, and in archives of this software.

::

    HOST/v_Cd_0/Bond_Distortion_-30.0%/vasprun.xml     a relaxation of a defect, at any depth of a tree
    HOST/bulk/vasprun.xml                              the host itself, or HOST/bulk/Strained_03/vasprun.xml
    HOST/bulk_POSCAR                                   its structure alone, which tells the composition
    RUN/archive/units/HOST/v_Cd_0/Dimer/reference/     an archived unit; those of a surrogate or of an isolated atom never are

A folder below a distortion's, say ``vasp_gam``, belongs to the distortion.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from defect_surrogate.archive import Archive
from defect_surrogate.archive.records import Record, read_frames
from defect_surrogate.dataset.frames import BULK, LabelledFrame
from defect_surrogate.dataset.host_compositions import exchange_of
from defect_surrogate.dataset.trajectories import counted, holds_output, read_trajectory
from defect_surrogate.errors import DatasetError, FolderError
from defect_surrogate.finished_relaxation import read_structure
from defect_surrogate.isolated_atoms import is_isolated_atom
from defect_surrogate.relaxation import Frame
from defect_surrogate.shakenbreak_folders import HIGH_ENERGY, distortion_folders, standard_label
from defect_surrogate.vasp.outputs import POTCAR

logger = logging.getLogger(__name__)

_BULK_WORDS = {"bulk", "pristine", "perfect"}
_HOST_STRUCTURE = re.compile(r"(?i)(?=.*(?:bulk|pristine|perfect))(?=.*(?:POSCAR|CONTCAR)).*")


@dataclass(frozen=True)
class FoundRelaxation:
    """A reference relaxation on disk.

    Attributes
    ----------
    path
        Its folder.
    host_folder
        Folder whose calculations are all of one host.
    host, defect, label
        Names; ``defect`` is ``bulk`` for the host itself.
    found
        Number of ionic steps on disk.
    frames
        Those to be learnt from, without composition yet.
    dropped
        Why the others are not, in words.
    levels
        Level of theory of each file, and the file.
    potcars
        Title of each POTCAR of each file, and the file.
    """

    path: Path
    host_folder: Path
    host: str
    defect: str
    label: str
    found: int
    frames: tuple[LabelledFrame, ...]
    dropped: tuple[str, ...]
    levels: tuple[tuple[str, Path], ...]
    potcars: tuple[tuple[str, Path], ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of atoms of each element, by symbol; empty without frames."""
        return dict(Counter(self.frames[0].symbols)) if self.frames else {}


def find_relaxations(tree: Path, *, host: str | None) -> Iterator[FoundRelaxation]:
    """Yield every reference relaxation below a folder, in the order of its path.

    Parameters
    ----------
    tree
        Folder tree, run folder or archive.
    host
        Name of the host of what is in folder trees; that of the folder above the defect's when None.

    Yields
    ------
    FoundRelaxation
        Also those of which nothing is to be learnt, and why.

    Raises
    ------
    DatasetError
        If the folder is not there.
    """
    if not tree.is_dir():
        raise DatasetError(f"{tree}: is not a folder")
    tree = tree.resolve()
    for name, folders, files in os.walk(tree):
        path = Path(name)
        if (archive := _archive_in(path)) is not None:
            folders.clear()
            yield from _archived(archive)
            continue
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        if holds_output(files) or (_is_distortion(path) and not folders):
            yield _calculated(path, tree=tree, host=host)


def host_structures(host_folder: Path, defect_folders: Iterable[Path]) -> Iterator[dict[str, int]]:
    """Yield the compositions of structures of the host without a defect, which lie beside its calculations.

    Parameters
    ----------
    host_folder
        Folder of a host.
    defect_folders
        Folders of its defects.

    Yields
    ------
    dict of str to int
        Number of atoms by symbol: of files such as ``bulk_POSCAR`` in these folders, and of POSCAR or CONTCAR in a folder of
        the bulk. Files that cannot be read are passed over.
    """
    for folder in sorted(
        {host_folder, *defect_folders, *(path for path in _entries(host_folder) if _is_bulk(path.name))}
    ):
        for path in _entries(folder):
            if _HOST_STRUCTURE.fullmatch(path.name) or (
                _is_bulk(folder.name) and re.match("POSCAR|CONTCAR", path.name)
            ):
                try:
                    structure = read_structure(path)
                except FolderError as error:
                    logger.warning("%s", error)
                    continue
                yield dict(Counter(site.specie.symbol for site in structure))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        logger.warning("%s: cannot be looked into: %s", folder, error)
        return []


def _archive_in(path: Path) -> Archive | None:
    """Return the archive that a folder is, or that a run folder holds."""
    for root in (path, path / "archive"):
        if (root / "units").is_dir() and (root / "attempts").is_dir():
            return Archive(root)
    return None


def _archived(archive: Archive) -> Iterator[FoundRelaxation]:
    passed_over = 0
    for record in archive.records():
        if record.relaxation.level == "reference" and not is_isolated_atom(record.name):
            yield _unit(record, archive.root)
        else:
            passed_over += 1
    if passed_over:
        logger.info("%s: %d units of a surrogate or of isolated atoms are not taken", archive.root, passed_over)


def _unit(record: Record, root: Path) -> FoundRelaxation:
    host, defect, label, _ = record.name.split("/")
    relaxation = record.relaxation
    frames = read_frames(record.path / "frames.extxyz") if relaxation.rankable else ()
    left_out = {
        "not kept in the archive": relaxation.steps - len(frames),
        "with a positive energy": sum(frame.energy > 0 for frame in frames),
    }
    steps = [(number, frame, record.key) for number, frame in enumerate(frames) if frame.energy <= 0]
    return FoundRelaxation(
        path=record.path,
        host_folder=root / "units" / host,
        host=host,
        defect=defect,
        label=label,
        found=max(relaxation.steps, len(frames)),
        frames=_labelled(steps, host=host, defect=defect, label=label),
        dropped=tuple(counted(count, reason) for reason, count in left_out.items() if count > 0),
        levels=((relaxation.provenance.level_of_theory, record.path),),
        potcars=tuple(
            (title, record.path) for name, title in relaxation.provenance.versions if name.startswith(POTCAR)
        ),
    )


def _calculated(path: Path, *, tree: Path, host: str | None) -> FoundRelaxation:
    place = _place(path, tree)
    if place is None:
        fault = "neither in the folder of a defect (v_Cd_0, Te_Cd_+1, …) nor in one of the bulk"
        return FoundRelaxation(path, path.parent, host or "", "", path.name, 0, (), (fault,), ())
    defect_folder, label = place
    defect = BULK if _is_bulk(defect_folder.name) else defect_folder.name
    name = host or defect_folder.parent.name
    if path.name.endswith(HIGH_ENERGY):
        fault = "set aside by ShakeNBreak for a positive energy or forces that cannot be"
        return FoundRelaxation(path, defect_folder.parent, name, defect, label, 0, (), (fault,), ())
    trajectory = read_trajectory(path)
    steps = [(step.number, step.frame, step.source) for step in trajectory.steps]
    missing = () if trajectory.levels or trajectory.dropped else ("no vasprun.xml or OUTCAR, so no forces",)
    return FoundRelaxation(
        path=path,
        host_folder=defect_folder.parent,
        host=name,
        defect=defect,
        label=label,
        found=trajectory.found,
        frames=_labelled(steps, host=name, defect=defect, label=label),
        dropped=trajectory.dropped + missing,
        levels=trajectory.levels,
        potcars=trajectory.potcars,
    )


def _place(path: Path, tree: Path) -> tuple[Path, str] | None:
    """Return the folder of the defect that a calculation belongs to, and the calculation's label."""
    for folder in (path, *path.parents):
        if _is_distortion(folder):
            return folder.parent, standard_label(folder.name.removesuffix(HIGH_ENERGY))
        if exchange_of(folder.name) is not None or _is_bulk(folder.name):
            return folder, path.name
        if folder == tree:
            return None
    return None


def _is_distortion(folder: Path) -> bool:
    return folder in distortion_folders(folder.parent)


def _is_bulk(name: str) -> bool:
    return not _BULK_WORDS.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def _labelled(steps: list[tuple[int, Frame, str]], *, host: str, defect: str, label: str) -> tuple[LabelledFrame, ...]:
    return tuple(
        LabelledFrame(
            host=host,
            defect=defect,
            label=label,
            step=number,
            last=position == len(steps),
            composition="",
            source=source,
            numbers=np.array([site.specie.Z for site in frame.structure]),
            positions=np.array(frame.structure.cart_coords),
            cell=np.array(frame.structure.lattice.matrix),
            energy=frame.energy,
            forces=np.asarray(frame.forces),
            stress=frame.stress,
        )
        for position, (number, frame, source) in enumerate(steps, start=1)
    )
