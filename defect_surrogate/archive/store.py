"""Working on units and publishing them."""

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from defect_surrogate.archive import attempts, durable, unfinished
from defect_surrogate.archive.drivers import driver_file
from defect_surrogate.archive.failures import Failure, note_dropped, read_failure, read_failures, write_failure
from defect_surrogate.archive.finished import FinishedUnits
from defect_surrogate.archive.records import manifest, utc_now, write_frames
from defect_surrogate.archive.unfinished import KEY_DIGITS
from defect_surrogate.errors import ArchiveError
from defect_surrogate.relaxation import Relaxation, Unit

logger = logging.getLogger(__name__)


class Archive(FinishedUnits):
    """Finished units below one root directory, and the work on others.

    Parameters
    ----------
    root
        Directory of the archive, made when missing.

    Raises
    ------
    ArchiveError
        If the directory cannot be made.
    """

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

    def _failure_path(self, unit: Unit) -> Path:
        return self._inside(self.root / "failures" / unit.name / f"{unit.key[:KEY_DIGITS]}.json")
