"""Drivers at work on an archive: each says that it lives, and which units it has given out.

So two campaigns on one archive do not compute a unit twice, and work whose driver has left it ends. What a driver says costs
nothing if it is lost: at worst a unit is computed twice, and one result is dropped.
"""

import contextlib
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
SILENT_SECONDS = 180.0
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
        self._held: set[str] = set()

    def __enter__(self) -> Self:
        try:
            for path in (self._claims, self._file.parent):
                path.mkdir(exist_ok=True)
            self._file.touch()
            for other in self._file.parent.iterdir():
                if self._is_dead(other.name):  # what its workers still do, ends
                    other.unlink(missing_ok=True)
        except OSError as error:
            raise ArchiveError(f"{self._root}: a driver cannot be noted: {error}") from error
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        for key in tuple(self._held):
            self._release(key)
        with contextlib.suppress(OSError):
            self._file.unlink()

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
        path = self._claims / unit.key
        try:
            while True:
                try:
                    path.symlink_to(self.name)  # whole or absent, and of two that try at once, one does
                    break
                except FileExistsError:
                    with contextlib.suppress(FileNotFoundError):  # released since
                        owner = os.readlink(path)
                        if owner == self.name:
                            break
                        if self._lives(owner):
                            return False
                        path.rename(grave := path.with_name(f"{unit.key}.{self.name}"))  # one of two that try
                        grave.unlink()
        except OSError as error:  # that it may be computed twice is no reason not to compute it
            _log.warning("%s: not claimed: %s", unit.name, error)
        self._held.add(unit.key)
        return True

    def release(self, unit: Unit) -> None:
        """Say that the work on a unit has ended."""
        self._release(unit.key)

    @property
    def _file(self) -> Path:
        return driver_file(self._root, self.name)

    def _release(self, key: str) -> None:
        self._held.discard(key)
        with contextlib.suppress(OSError):
            if os.readlink(self._claims / key) == self.name:
                (self._claims / key).unlink()

    @staticmethod
    def _is_dead(name: str) -> bool:
        """Whether a driver is none, or was of this machine and is gone for certain."""
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
