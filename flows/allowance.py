"""What a campaign may spend at the reference level in a night, and what it has spent; kept in a file, so that a restart knows.

A night is from noon to noon, by the clock of the machine. A relaxation counts when it is begun; one that is tried again, or
goes on after an interruption in the same night, counts once. Core-hours are wall time on a worker times the cores of its job.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from defect_surrogate.relaxation import Unit
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
        Core-hours (3600 s of a core each) of these, of those that run up to now.
    """

    night: str
    relaxations: int
    core_hours: float


@dataclass(frozen=True)
class _Note:
    """What the file holds: the night, the units that were begun in it, and their core-seconds."""

    night: str
    units: frozenset[str]
    core_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


_NOTE = TypeAdapter(_Note)


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
        try:
            noted = _NOTE.validate_json(file.read_bytes())
            self._night, self._units, self._seconds = noted.night, set(noted.units), noted.core_seconds
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as error:  # no reason not to work
            logger.warning("%s: cannot be read, and what it counted is forgotten: %s", file, error)
        self._turn()

    def begin(self, unit: Unit, cores: int) -> bool:
        """Ask whether a relaxation may begin, and count it if so.

        Parameters
        ----------
        unit
            What is relaxed.
        cores
            Of its job.

        Returns
        -------
        bool
            False if the night's allowance is spent.
        """
        with self._lock:
            self._turn()
            name = _identity(unit)
            if not self._has_room(name):
                return False
            self._units.add(name)
            self._running[name] = (time.monotonic(), cores)
            self._note()
            return True

    def has_room(self, unit: Unit | None = None) -> bool:
        """Whether a relaxation may begin: one that has not begun in this night when None."""
        with self._lock:
            self._turn()
            return self._has_room("" if unit is None else _identity(unit))

    def end(self, unit: Unit) -> None:
        """Say that a relaxation has ended, or its worker was lost."""
        name = _identity(unit)
        with self._lock:
            if name in self._running:
                began, cores = self._running.pop(name)
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
        shown = f"{spent.core_hours:.0f}" if spent.core_hours >= 100 else f"{spent.core_hours:.3g}"
        hours = shown + ("" if self._core_hours is None else f" of {self._core_hours:g}")
        return f"{relaxations} reference relaxations and {hours} core-hours in the night of {spent.night}"

    def _has_room(self, name: str) -> bool:
        fits = self._relaxations is None or name in self._units or len(self._units) < self._relaxations
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
            if self._running:
                self._note()

    def _note(self) -> None:
        self._noted = time.monotonic()
        content = {"night": self._night, "units": sorted(self._units), "core_seconds": self._core_seconds()}
        try:
            replace_file(self._file, json.dumps(content))
        except OSError as error:  # a full disk: no reason to lose what runs
            logger.warning("%s: what was spent is not noted: %s", self._file, error)


def _identity(unit: Unit) -> str:
    """Tell a unit from all others: two of one key are two relaxations, such as those of one crystal in two files."""
    return f"{unit.name}/{unit.key}"
