"""A folder in which units are computed: its archive, which it may share with others, its units, and a request to end."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from defect_surrogate.archive import Archive, Failure
from defect_surrogate.relaxation import Unit
from defect_surrogate.reports.files import replace_file

STOP = "STOP"

_UNITS = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class WorkFolder:
    """A folder in which units are computed.

    Attributes
    ----------
    path
        The folder.
    shared_archive
        Root of the archive that it shares with others; None if it has one of its own.
    """

    path: Path
    shared_archive: Path | None = field(default=None, kw_only=True)

    @property
    def archive_root(self) -> Path:
        """Root of the archive."""
        return self.shared_archive or self.path / "archive"

    @property
    def archive(self) -> Archive:
        """Finished units, those of this folder among them; its folders are made when missing."""
        return Archive(self.archive_root)

    @property
    def sampling(self) -> Path:
        """Folder beside the archive that keeps the sampling structures, so that they are made once."""
        return self.archive_root.parent / "sampling"

    @property
    def _stop(self) -> Path:
        """File that asks the work here to end; work in other folders on the same archive goes on."""
        return (self.archive_root if self.shared_archive is None else self.path) / STOP

    def stop_requested(self) -> bool:
        """Whether somebody asked the work here, or all on the archive, to end; asked often, and makes no folders."""
        try:
            return self._stop.exists() or (self.archive_root / STOP).exists()
        except OSError:  # the file system does not answer now; asked again soon
            return False

    def request_stop(self) -> None:
        """Ask the work here to end; what is on its way is kept."""
        self._stop.parent.mkdir(parents=True, exist_ok=True)
        self._stop.touch()

    def clear_stop_request(self) -> None:
        """Take that back."""
        self._stop.unlink(missing_ok=True)

    def begin(self) -> None:
        """Begin work here: forget what dead workers left, a request to stop, and the units of an earlier search."""
        self.archive.clear_dead_attempts()
        self.clear_stop_request()
        self.note_units([], first=True)

    def note_units(self, units: Iterable[Unit], *, first: bool = False) -> None:
        """Add units to those that ``status`` counts.

        Parameters
        ----------
        units
            Units of the search.
        first
            Forget the units of an earlier search in this folder, which may have had other settings.
        """
        known = {} if first else self.units()
        known |= {unit.name: unit.key for unit in units}
        replace_file(self.path / "units.json", json.dumps(known, indent=1))

    def units(self) -> dict[str, str]:
        """Key of each unit of the latest search, as far as they are known, by name."""
        try:
            return _UNITS.validate_json((self.path / "units.json").read_bytes())
        except (OSError, ValidationError):
            return {}

    def failures(self) -> tuple[Failure, ...]:
        """Return what broke here, by name of the unit; in an archive that it shares with others, of its own units."""
        failures, units = self.archive.failures(), self.units()
        return tuple(one for one in failures if self.shared_archive is None or units.get(one.name) == one.key)
