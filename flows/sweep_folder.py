"""The folder of an alloy sweep: one archive, and a run folder for each composition.

::

    run/
        sweep.json  settings.yaml  end-members/1/<file>  what was asked for
        archive/                                         every finished unit of all compositions
        sampling/                                        sampling structures, made anew if lost
        compositions/CdTe0.5Se0.5/                       as the folder of a search, without an archive of its own
        alloy.json  report.html                          all compositions together
        prefect/                                         database of the local Prefect server
"""

import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from defect_surrogate.alloys import SweepSettings
from defect_surrogate.errors import InputError
from defect_surrogate.reports.files import replace_file
from defect_surrogate.settings_files import read_settings
from flows.campaigns.folder import campaign_of
from flows.run_folder import RunFolder, log_changes, open_folder
from flows.work_folder import WorkFolder

SWEEP_FILE = "sweep.json"

END_MEMBERS = "end-members"
"""Folder of the units of the end members, beside those of the compositions."""


@dataclass(frozen=True)
class CompositionFolder(RunFolder):
    """The folder of one composition in that of its sweep.

    Attributes
    ----------
    path
        The folder.
    source
        Name of the alloy.
    settings
        Of the sweep.
    """

    settings: SweepSettings

    @property
    def archive_root(self) -> Path:
        """Root of the archive of the sweep."""
        return self.path.parents[1] / "archive"

    def begin(self) -> None:
        """Begin work here, beside that of other compositions: a request to stop is for all of them, and stays."""
        self.archive.clear_dead_attempts()
        self.note_units([], first=True)


@dataclass(frozen=True)
class SweepFolder(WorkFolder):
    """The folder of a sweep.

    Attributes
    ----------
    path
        The folder.
    settings
        Of the sweep, with the copies of the end members' files.
    """

    settings: SweepSettings

    def composition(self, name: str) -> CompositionFolder:
        """Return the folder of a composition, which need not be there yet."""
        return CompositionFolder(self.path / "compositions" / name, name, self.settings)

    def units(self) -> dict[str, str]:
        """Key of each unit of the compositions that were asked for last, as far as they are known, by name."""
        known: dict[str, str] = {}
        for path in sorted((self.path / "compositions").glob("*/units.json")):
            known |= WorkFolder(path.parent).units()
        return known


def create_sweep(path: Path, settings: SweepSettings, *, compositions: Sequence[str] | None) -> SweepFolder:
    """Make the folder of a sweep, or enter the one that is there.

    Parameters
    ----------
    path
        The folder; made when missing.
    settings
        Of the sweep. Others than those of an earlier sweep in this folder are logged.
    compositions
        Names of all that are searched; None for whoever searches one alone, to whom a sweep that is there keeps its settings.

    Returns
    -------
    SweepFolder
        With copies of the end members' files.

    Raises
    ------
    InputError
        If it holds a search or the sweep of other end members, is a file, or cannot be written.
    """
    path = path.absolute()
    if (path / "run.json").exists():
        raise InputError(f"{path}: holds the search of a host; choose another folder")
    try:
        noted = _noted(path)
        names = [Path(source).name for source in settings.alloy.end_members]
        if noted and noted["end_members"] != names:
            raise InputError(f"{path}: holds a sweep of {', '.join(noted['end_members'])}; choose another folder")
        copies = [_copied(path, number, Path(one)) for number, one in enumerate(settings.alloy.end_members, start=1)]
        kept = _with_end_members(settings, [str(copy) for copy in copies])
        if compositions is not None or not noted:
            if noted and any((path / "archive" / "units").glob("*")):
                log_changes(open_sweep(path).settings, kept, path)
            relative = _with_end_members(settings, [str(copy.relative_to(path)) for copy in copies])
            replace_file(path / "settings.yaml", yaml.safe_dump(relative.model_dump(mode="json"), sort_keys=False))
        replace_file(path / SWEEP_FILE, json.dumps({"end_members": names}))
        _forget_others(path, compositions)
    except OSError as error:
        raise InputError(f"{path}: cannot be the folder of a sweep: {error}") from error
    return SweepFolder(path, kept)


def open_sweep(path: Path) -> SweepFolder:
    """Open the folder of an earlier sweep.

    Parameters
    ----------
    path
        The folder.

    Returns
    -------
    SweepFolder
        With the settings it was made with.

    Raises
    ------
    InputError
        If it is not the folder of a sweep.
    """
    path = path.absolute()
    if not (path / SWEEP_FILE).is_file():
        raise InputError(f"{path}: is not the folder of a sweep: no {SWEEP_FILE} there")
    return SweepFolder(path, read_sweep_settings(path / "settings.yaml"))


def is_sweep(path: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (path / SWEEP_FILE).is_file()


def open_any(path: Path) -> WorkFolder:
    """Open the folder of an earlier search, sweep, campaign or ``build-dataset``.

    Parameters
    ----------
    path
        The folder.

    Returns
    -------
    WorkFolder
        With its archive and its units.

    Raises
    ------
    InputError
        If it is none of these.
    """
    campaign = campaign_of(path)
    if campaign is not None:
        return campaign
    return open_sweep(path) if is_sweep(path) else open_folder(path)


def read_sweep_settings(file: Path) -> SweepSettings:
    """Read the settings of a sweep; files in them are meant from the folder of the settings file.

    Parameters
    ----------
    file
        YAML file.

    Returns
    -------
    SweepSettings
        With absolute paths of end members, and of a force field that is a folder.

    Raises
    ------
    SettingsError
        If it cannot be read, or a key or value is not valid.
    """
    settings = read_settings(file, SweepSettings)
    folder = file.absolute().parent
    end_members = [str((folder / one).resolve()) for one in settings.alloy.end_members]
    update: dict[str, object] = {"alloy": settings.alloy.model_copy(update={"end_members": end_members})}
    if (checkpoint := folder / settings.surrogate.potential).is_dir():
        update["surrogate"] = settings.surrogate.model_copy(update={"potential": str(checkpoint.resolve())})
    return settings.model_copy(update=update)


def _noted(path: Path) -> dict[str, list[str]]:
    """Return what ``sweep.json`` says, the files of the end members; nothing if there is none."""
    try:
        content: dict[str, list[str]] = json.loads((path / SWEEP_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path / SWEEP_FILE}: cannot be read as JSON: {error}") from error
    return content


def _forget_others(path: Path, compositions: Sequence[str] | None) -> None:
    """Forget which units compositions have that are no longer asked for, so that ``status`` does not count them."""
    for units in (path / "compositions").glob("*/units.json"):
        if compositions is not None and units.parent.name not in (*compositions, END_MEMBERS):
            units.unlink()


def _with_end_members(settings: SweepSettings, paths: list[str]) -> SweepSettings:
    return settings.model_copy(update={"alloy": settings.alloy.model_copy(update={"end_members": paths})})


def _copied(path: Path, number: int, source: Path) -> Path:
    """Copy the file of an end member, so that a resumed sweep does not need it; two may have one name, such as POSCAR."""
    target = path / "end-members" / str(number) / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and source.exists() and target.read_bytes() != source.read_bytes():
        raise InputError(f"{path}: holds a sweep with another {source.name}; choose another folder")
    if not target.exists():
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        shutil.copyfile(source, partial)
        partial.replace(target)
    return target
