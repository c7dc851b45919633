"""Drivers at work on an archive: each says that it lives, and which units it has given out.

So two campaigns on one archive do not compute a unit twice, and work whose driver has left it ends. What a driver says costs
nothing if it is lost: at worst a unit is computed twice, and one result is dropped. A driver that is taken for dead and is not,
since its machine was asleep, finds its runs ended and its units with others.
"""

import contextlib
import hashlib
import logging
import os
import re
import socket
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from defect_surrogate.archive import attempts
from defect_surrogate.errors import ArchiveError
from defect_surrogate.relaxation import Unit

BEAT_SECONDS = 20.0
"""Seconds between two signs of life (our choice)."""
SILENT_SECONDS = 600.0
"""Seconds without one after which a driver of another machine is taken for dead (our choice)."""

_NAME = re.compile(r"(?P<host>.+)-(?P<pid>[0-9]+)-[0-9a-f]{8}")

_log = logging.getLogger(__name__)


def driver_file(root: Path, name: str) -> Path:
    """File below the root of an archive that is there as long as the driver of this name works on it."""
    return root / "drivers" / name


class Driver:
    """A driver at work on an archive, from ``with`` to its end.

    Parameters
    ----------
    root
        Of the archive.

    Raises
    ------
    ArchiveError
        At its beginning, if it cannot be noted.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._claims, self._over = root, root / "claims", threading.Event()
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._held: set[Path] = set()

    def __enter__(self) -> Self:
        try:
            for path in (self._claims, self._file.parent):
                path.mkdir(exist_ok=True)
            self._file.touch()
            left = [other for other in self._file.parent.iterdir() if _NAME.fullmatch(other.name)]
        except OSError as error:
            raise ArchiveError(f"{self._root}: a driver cannot be noted: {error}") from error
        for other in left:
            if self._is_dead(other.name):  # what its workers still do, ends
                with contextlib.suppress(OSError):
                    other.unlink()
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.retire()
        for claim in tuple(self._held):
            self._release(claim)

    def claim(self, unit: Unit) -> bool:
        """Say that this driver gives a unit out.

        Parameters
        ----------
        unit
            Not finished.

        Returns
        -------
        bool
            False if another driver, which lives, has given it out.
        """
        path = self._claim_of(unit)
        try:
            if (
                not self._over.is_set() and not self._file.exists()
            ):  # this machine was asleep, and it was taken for dead
                self._file.touch()
            while True:
                try:
                    path.symlink_to(self.name)  # whole or absent, and of two that try at once, one does
                    break
                except FileExistsError:
                    owner = self._owner(path)
                    if owner == self.name:
                        break
                    if owner is not None and self._lives(owner):
                        return False
                    self._take_from(path, owner)
        except OSError as error:  # that it may be computed twice is no reason not to compute it
            _log.warning("%s: not claimed: %s", unit.name, error)
        self._held.add(path)
        return True

    def is_elsewhere(self, unit: Unit) -> bool:
        """Whether another driver, which lives, has given a unit out."""
        try:
            owner = self._owner(self._claim_of(unit))
            return owner not in (None, self.name) and self._lives(str(owner))
        except OSError:
            return False

    def retire(self) -> None:
        """Have what it has given out end at its next step, and be kept; it gives nothing out any more."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._file.unlink()

    def release(self, unit: Unit) -> None:
        """Say that the work on a unit has ended."""
        self._release(self._claim_of(unit))

    @property
    def _file(self) -> Path:
        return driver_file(self._root, self.name)

    def _claim_of(self, unit: Unit) -> Path:
        return self._claims / hashlib.sha256(f"{unit.name}\n{unit.key}".encode()).hexdigest()

    @staticmethod
    def _owner(claim: Path) -> str | None:
        try:
            return os.readlink(claim)
        except FileNotFoundError:
            return None

    def _release(self, claim: Path) -> None:
        self._held.discard(claim)
        with contextlib.suppress(OSError):
            if os.readlink(claim) == self.name:
                claim.unlink()

    def _take_from(self, claim: Path, owner: str | None) -> None:
        """Remove the claim of a driver that is dead, and have what its workers still do end."""
        grave = claim.with_name(f"{claim.name}.{self.name}")
        with contextlib.suppress(FileNotFoundError):  # another driver was first
            claim.rename(grave)
            if (found := os.readlink(grave)) == owner:
                driver_file(self._root, owner).unlink(missing_ok=True)
            else:  # of a driver that was first, and has claimed it since
                with contextlib.suppress(FileExistsError):
                    claim.symlink_to(found)
            grave.unlink()

    @staticmethod
    def _is_dead(name: str) -> bool:
        """Whether a name is no driver's, or that of one of this machine that is gone for certain."""
        found = _NAME.fullmatch(name)
        return found is None or (found["host"] == socket.gethostname() and not attempts.alive(int(found["pid"])))

    def _lives(self, name: str) -> bool:
        if self._is_dead(name):
            return False
        try:  # both times are of the file system's clock
            return self._file.stat().st_mtime - driver_file(self._root, name).stat().st_mtime < SILENT_SECONDS
        except FileNotFoundError:
            return False

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(self._file)
