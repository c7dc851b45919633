"""Finished units looked up, and verified."""

import contextlib
import logging
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from defect_surrogate.archive import durable
from defect_surrogate.archive.records import ForeignRecordError, Record, read_frames, read_record
from defect_surrogate.archive.unfinished import KEY_DIGITS
from defect_surrogate.errors import ArchiveError
from defect_surrogate.relaxation import Frame, Relaxation, Unit

logger = logging.getLogger(__name__)

LATE_SECONDS = 60.0
"""Longest time for which an NFS client believes that something is not there (nfs(5), ``acdirmax``)."""


class FinishedUnits:
    """Finished units below one root directory.

    Parameters
    ----------
    root
        Directory of the archive, made when missing.

    Raises
    ------
    ArchiveError
        If the directory cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            for name in ("units", "failures", "attempts", "rejected"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArchiveError(f"{self.root}: the archive cannot be made: {error}") from error

    def path(self, unit: Unit) -> Path:
        """Directory that the unit has, or would have, once finished."""
        return self._inside(self.root / "units" / unit.name / unit.key[:KEY_DIGITS])

    def has(self, name: str, key: str) -> bool:
        """Whether a unit of this name and key is finished; what is there is not verified."""
        return (self._inside(self.root / "units" / name / key[:KEY_DIGITS]) / "unit.json").is_file()

    def find(self, unit: Unit) -> Relaxation | None:
        """Return the finished relaxation of a unit, or None.

        A directory that is damaged is moved to ``rejected/`` and reported absent, so that the unit is computed again.

        Parameters
        ----------
        unit
            What was, or was not, relaxed.

        Returns
        -------
        Relaxation or None
            Without frames; see ``read_frames``.

        Raises
        ------
        ArchiveError
            If the directory belongs to other inputs, cannot be read, or another version wrote it; it is not moved.
        """
        path = self.path(unit)
        if not path.is_dir():
            return None
        record = self._verified(path, thorough=False)
        if record is None:
            return None
        if record.key != unit.key:
            raise ArchiveError(f"{path}: holds key {record.key}, not {unit.key}")
        return record.relaxation

    def find_late(self, unit: Unit) -> Relaxation | None:
        """Return what ``find`` does, after a while if need be: a network file system may be late to show what was published."""
        began = time.monotonic()
        while True:
            folder = self.root / "units"
            for part in unit.name.split("/"):
                with contextlib.suppress(OSError):
                    os.listdir(folder)  # has the server asked
                folder /= part
            relaxation = self.find(unit)
            if relaxation is not None or time.monotonic() - began > LATE_SECONDS:
                return relaxation
            time.sleep(LATE_SECONDS / 30)

    def read_frames(self, unit: Unit) -> tuple[Frame, ...]:
        """Read the frames of a finished unit.

        Parameters
        ----------
        unit
            A finished unit.

        Returns
        -------
        tuple of Frame
            In ionic order, eV, eV/Å and eV/Å³, read at 1e-8.

        Raises
        ------
        ArchiveError
            If the unit is not finished.
        """
        path = self.path(unit) / "frames.extxyz"
        if not path.is_file():
            raise ArchiveError(f"{unit.name}: not in the archive (key {unit.key[:KEY_DIGITS]})")
        return read_frames(path)

    def records(self) -> Iterator[Record]:
        """Yield every finished unit, verified, by name; damaged ones are moved aside."""
        for file in sorted((self.root / "units").glob("*/*/*/*/*/unit.json")):
            if (record := self._verified(file.parent, thorough=True)) is not None:
                yield record

    def siblings(self, unit: Unit, *, but: Collection[Path] = ()) -> Iterator[Record]:
        """Yield the finished units of the same host, defect and level, by label, but for those in the directories ``but``."""
        defect = self._inside(self.root / "units" / unit.host / unit.defect)
        for file in sorted(defect.glob(f"*/{unit.level}/*/unit.json")):
            if file.parent not in but and (record := self._verified(file.parent, thorough=False)) is not None:
                yield record

    def _inside(self, path: Path) -> Path:
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ArchiveError(f"{path}: would leave the archive {self.root}")
        return path

    def _verified(self, path: Path, *, thorough: bool) -> Record | None:
        """Return a unit; None if it is damaged, moving it aside; what cannot be read now may well be whole, and stays."""
        try:
            record = read_record(path, thorough=thorough)
            if record.path != self.root / "units" / record.name / record.key[:KEY_DIGITS]:
                raise ValueError(f"holds {record.name} with key {record.key[:KEY_DIGITS]}")
            return record
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            fault = f"{type(error).__name__}: {error}"
        except (OSError, ForeignRecordError) as error:
            raise ArchiveError(f"{path}: cannot be read: {error}") from error
        try:
            grave = durable.move_aside(path, self.root / "rejected")
        except OSError as error:
            raise ArchiveError(f"{path}: damaged ({fault}), and cannot be moved to rejected/: {error}") from error
        if grave is not None:
            logger.error("%s: damaged (%s); moved to %s, to be computed again", path, fault, grave)
        return None
