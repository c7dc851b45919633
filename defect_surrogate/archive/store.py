"""Looking up, working on and publishing units of work."""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from defect_surrogate.archive import attempts, durable, unfinished
from defect_surrogate.archive.drivers import driver_file
from defect_surrogate.archive.failures import Failure, note_dropped, read_failure, read_failures, write_failure
from defect_surrogate.archive.records import (
    ForeignRecordError,
    Record,
    manifest,
    read_frames,
    read_record,
    utc_now,
    write_frames,
)
from defect_surrogate.archive.unfinished import KEY_DIGITS
from defect_surrogate.errors import ArchiveError
from defect_surrogate.relaxation import Frame, Relaxation, Unit

logger = logging.getLogger(__name__)

LATE_SECONDS = 60.0
"""Longest time for which an NFS client believes that something is not there (nfs(5), ``acdirmax``)."""


class Archive:
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

    @contextlib.contextmanager
    def attempt(self, unit: Unit, *, after: int = 0, driver: str = "") -> Iterator[Path]:
        """Give a fresh working directory for one attempt at a unit; after an exception it stays until the next begins.

        Parameters
        ----------
        unit
            What will be computed.
        after
            Number of segments that it goes on from.
        driver
            Name of the driver that gave it out, if one did.

        Yields
        ------
        Path
            An empty directory of this attempt alone.
        """
        path = attempts.begin(self.root / "attempts", unit, prefix=unit.key[:KEY_DIGITS], after=after, driver=driver)
        work = path / "work"
        work.mkdir()
        try:
            yield work
        except BaseException as error:
            with contextlib.suppress(OSError):
                attempts.note_end(path, error)
            raise
        shutil.rmtree(path, ignore_errors=True)

    def publish(
        self, unit: Unit, relaxation: Relaxation, *, files: Path | None = None, leave_out: tuple[str, ...] = ()
    ) -> Relaxation:
        """Put a finished relaxation into the archive, at once or not at all.

        Parameters
        ----------
        unit
            What was relaxed.
        relaxation
            The outcome, with its frames.
        files
            Directory of calculation files to keep with it; copied.
        leave_out
            Names of files that are not kept, such as licensed ones.

        Returns
        -------
        Relaxation
            What the archive holds now, without frames: this one, or another worker's that was first.

        Raises
        ------
        ArchiveError
            If it cannot be written, or was interrupted and so is not the result of the unit. Nothing is published then.
        """
        if not relaxation.finished:
            raise ArchiveError(f"{unit.name}: ended by a {relaxation.reason} ({relaxation.detail}): not its result")

        def write(staging: Path) -> None:
            if files is not None:
                shutil.copytree(files, staging / "files", ignore=shutil.ignore_patterns(*leave_out))
            for number, segment in enumerate(self.segment_paths(unit), start=1):
                shutil.copytree(segment / "files", staging / "files" / f"run-{number}")
            write_frames(staging / "frames.extxyz", relaxation.frames)
            durable.write_synced(staging / "unit.json", manifest(unit, relaxation, staging))

        if not self.publish_directory(unit, write):
            logger.warning("%s: already archived by another worker; this result is dropped", unit.name)
            note_dropped(self.root, unit)
        published = self.find(unit)
        if published is None:
            raise ArchiveError(f"{unit.name}: damaged right after it was archived in {self.path(unit)}")
        return published

    def publish_directory(self, unit: Unit, write: Callable[[Path], None]) -> bool:
        """Put the directory of a finished unit into the archive, at once or not at all, and forget that the unit broke.

        Parameters
        ----------
        unit
            Whose directory it is.
        write
            Writes its files, ``unit.json`` among them, into an empty directory.

        Returns
        -------
        bool
            False if another worker was first.

        Raises
        ------
        ArchiveError
            If it cannot be written, for example because the disk is full. Nothing is published then.
        """
        target = self.path(unit)
        attempt = None
        try:
            attempt = attempts.begin(self.root / "attempts", unit, prefix=unit.key[:KEY_DIGITS])
            staging = attempt / "unit"
            staging.mkdir()
            write(staging)
            durable.sync_tree(staging)
            target.parent.mkdir(parents=True, exist_ok=True)
            won = durable.rename_if_absent(staging, target)
            durable.sync_directory(target.parent)
        except OSError as error:
            raise ArchiveError(f"{unit.name}: not archived in {target}: {error}") from error
        finally:
            if attempt is not None:
                shutil.rmtree(attempt, ignore_errors=True)
        self._failure_path(unit).unlink(missing_ok=True)
        unfinished.forget(self.root, unit)
        return won

    def unfinished(self, unit: Unit) -> Path:
        """File in which work on a unit may be kept while it is on its way; removed when the unit is finished."""
        return self._inside(unfinished.unfinished_path(self.root, unit))

    def segment_paths(self, unit: Unit) -> list[Path]:
        """Directories of what interrupted runs have done, in order; removed when the unit is finished."""
        return unfinished.segment_paths(self.root, unit)

    def progress(self, unit: Unit) -> float:
        """Return a number that grows whenever more of an unfinished unit is kept: the time of the latest change, in s."""
        return unfinished.latest_change(self.root, unit)

    def record_failure(self, unit: Unit, error: BaseException) -> None:
        """Note by what the work on a unit broke; forgotten when the unit is finished."""
        note = Failure(unit.name, unit.key, type(error).__name__, str(error), utc_now())
        write_failure(self._failure_path(unit), note)

    def failure(self, unit: Unit) -> Failure | None:
        """Return what broke at the last attempt of a unit, or None."""
        return read_failure(self._failure_path(unit))

    def failures(self) -> tuple[Failure, ...]:
        """Return every unit whose last attempt broke, by name."""
        return read_failures(self.root / "failures")

    def clear_dead_attempts(self) -> None:
        """Remove what attempts left behind that broke, or whose process is gone."""
        attempts.clear_dead(self.root / "attempts", "*")

    def stop_requested(self, driver: str = "") -> bool:
        """Whether somebody made the file ``STOP``, or a driver has ended: then work on its way ends, and is kept.

        Parameters
        ----------
        driver
            Name of the one that gave the work out, if one did.
        """
        try:
            return (self.root / "STOP").exists() or bool(driver and not driver_file(self.root, driver).exists())
        except OSError:  # the file system does not answer now; asked again soon
            return False

    def request_stop(self) -> None:
        """Ask everything that works on the archive to end."""
        (self.root / "STOP").touch()

    def clear_stop_request(self) -> None:
        """Take that back."""
        (self.root / "STOP").unlink(missing_ok=True)

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

    def running(self) -> tuple[dict[str, Any], ...]:
        """Return the notes of the attempts that have not ended and whose process, if of this machine, lives."""
        return tuple(note for note in self.attempts() if attempts.is_running(note))

    def begun(self, unit: Unit, driver: str) -> frozenset[str]:
        """Return the names of the attempts at a unit that a driver gave out, and that have a directory."""
        paths = (self.root / "attempts").glob(f"{unit.key[:KEY_DIGITS]}-*")
        return frozenset(path.name for path in paths if attempts.read_note(path).get("driver") == driver)

    def attempts(self) -> tuple[dict[str, Any], ...]:
        """Return the notes of the attempts that have a directory: unit, key, pid, host, started and, if it broke, error."""
        return attempts.read_notes(self.root / "attempts")

    def _inside(self, path: Path) -> Path:
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ArchiveError(f"{path}: would leave the archive {self.root}")
        return path

    def _failure_path(self, unit: Unit) -> Path:
        return self._inside(self.root / "failures" / unit.name / f"{unit.key[:KEY_DIGITS]}.json")

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
