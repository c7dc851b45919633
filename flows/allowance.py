"""What a campaign may spend at the reference level in a night, and what it has spent; kept in a file, so that a restart knows.

A night is from noon to noon, by the clock of the machine. A relaxation counts when it is begun; one that is tried again, or
goes on after an interruption in the same night, counts once. Core-hours are wall time on a worker times the cores of its job.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from defect_surrogate.reports.files import replace_file

logger = logging.getLogger(__name__)

NOTED_EVERY = 30.0
"""Seconds between two notes of the core-hours of what runs: as much as a process that is killed forgets (our choice)."""


@dataclass(frozen=True)
class Spent:
    """What was spent in a night.

    Attributes
    ----------
    night
        Date of its evening, ISO 8601.
    relaxations
        Reference relaxations that were begun.
    core_hours
        Of these, those that run among them.
    """

    night: str
    relaxations: int
    core_hours: float


class Allowance:
    """The allowance of a campaign.

    Parameters
    ----------
    file
        Where it is kept.
    relaxations, core_hours
        Most of each in a night; unlimited when None.
    now
        The time, with its time zone.

    Attributes
    ----------
    refused
        Keys of the units for which there was no room.
    """

    def __init__(
        self,
        file: Path,
        *,
        relaxations: int | None,
        core_hours: float | None,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._file, self._relaxations, self._core_hours, self._now = file, relaxations, core_hours, now
        self._lock = threading.Lock()
        self._night, self._units, self._seconds = "", set[str](), 0.0
        self._running: dict[str, tuple[float, int]] = {}
        self._noted = 0.0
        self.refused: set[str] = set()
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads(file.read_text(encoding="utf-8"))
            self._night, self._units, self._seconds = noted["night"], set(noted["units"]), float(noted["core_seconds"])
        self._turn()

    def begin(self, key: str, cores: int) -> bool:
        """Ask whether a relaxation may begin, and count it if so.

        Parameters
        ----------
        key
            Of its unit.
        cores
            Of its job.

        Returns
        -------
        bool
            False if the night's allowance is spent.
        """
        with self._lock:
            self._turn()
            if not self._has_room(key):
                return False
            self._units.add(key)
            self._running[key] = (time.monotonic(), cores)
            self._note()
            return True

    def has_room(self, key: str) -> bool:
        """Whether a relaxation may begin."""
        with self._lock:
            self._turn()
            return self._has_room(key)

    def end(self, key: str) -> None:
        """Say that a relaxation has ended, or its worker was lost."""
        with self._lock:
            if key in self._running:
                began, cores = self._running.pop(key)
                self._seconds += cores * (time.monotonic() - began)
                self._note()

    def is_spent(self) -> bool:
        """Whether the core-hours are spent, so that what runs has to end."""
        with self._lock:
            self._turn()
            if time.monotonic() - self._noted > NOTED_EVERY:
                self._note()
            return self._is_spent()

    @property
    def spent(self) -> Spent:
        """What was spent in the night that is."""
        with self._lock:
            self._turn()
            return Spent(self._night, len(self._units), self._core_seconds() / 3600)

    def words(self) -> str:
        """Say what was spent, of how much, e.g. ``12 of 40 reference relaxations and 3.2 core-hours``."""
        spent = self.spent
        relaxations = f"{spent.relaxations}" + ("" if self._relaxations is None else f" of {self._relaxations}")
        hours = f"{spent.core_hours:.2g}" + ("" if self._core_hours is None else f" of {self._core_hours:g}")
        return f"{relaxations} reference relaxations and {hours} core-hours in the night of {spent.night}"

    def _has_room(self, key: str) -> bool:
        fits = self._relaxations is None or key in self._units or len(self._units) < self._relaxations
        return fits and not self._is_spent()

    def _is_spent(self) -> bool:
        return self._core_hours is not None and self._core_seconds() >= 3600 * self._core_hours

    def _core_seconds(self) -> float:
        now = time.monotonic()
        return self._seconds + sum(cores * (now - began) for began, cores in self._running.values())

    def _turn(self) -> None:
        """Begin a new night at noon; what runs then is of the new one from there on."""
        night = (self._now() - timedelta(hours=12)).date().isoformat()
        if night != self._night:
            now = time.monotonic()
            self._running = {key: (now, cores) for key, (_, cores) in self._running.items()}
            self._night, self._units, self._seconds = night, set(self._running), 0.0

    def _note(self) -> None:
        self._noted = time.monotonic()
        content = {"night": self._night, "units": sorted(self._units), "core_seconds": self._core_seconds()}
        try:
            replace_file(self._file, json.dumps(content))
        except OSError as error:  # a full disk: no reason to lose what runs
            logger.warning("%s: what was spent is not noted: %s", self._file, error)
