"""The folder of an alloy sweep: one archive, and a run folder for each composition.

::

    run/
        sweep.json  settings.yaml  end-members/<file>    what was asked for
        archive/                                         every finished unit of all compositions
        sampling/                                        sampling structures, made anew if lost
        compositions/CdTe0.5Se0.5/                       as the folder of a search, without an archive of its own
        alloy.json  alloy.csv  report.html               all compositions together
        prefect/                                         database of the local Prefect server
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from defect_surrogate.alloys import SweepSettings
from defect_surrogate.archive import Archive
from defect_surrogate.errors import InputError
from defect_surrogate.settings import read_settings, write_settings
from flows.run_folder import RunFolder, WorkFolder

SWEEP_FILE = "sweep.json"


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
    def archive(self) -> Archive:
        """Finished units of the sweep."""
        return Archive(self.path.parents[1] / "archive")

    @property
    def sampling(self) -> Path:
        """Folder that keeps the sampling structures of the sweep."""
        return self.path.parents[1] / "sampling"


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
        """Key of each unit of all compositions, as far as they are known, by name."""
        known: dict[str, str] = {}
        for path in sorted((self.path / "compositions").glob("*/units.json")):
            known |= WorkFolder(path.parent).units()
        return known


def create_sweep(path: Path, settings: SweepSettings) -> SweepFolder:
    """Make the folder of a sweep, or enter the one that is there.

    Parameters
    ----------
    path
        The folder; made when missing.
    settings
        Of the sweep.

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
        (path / "end-members").mkdir(parents=True, exist_ok=True)
        copies = [_copied(path, Path(source)) for source in settings.alloy.end_members]
        alloy = settings.alloy.model_copy(update={"end_members": [str(copy) for copy in copies]})
        kept = settings.model_copy(update={"alloy": alloy})
        relative = alloy.model_copy(update={"end_members": [str(copy.relative_to(path)) for copy in copies]})
        _replace_settings(settings.model_copy(update={"alloy": relative}), path)
        (path / f".{SWEEP_FILE}").write_text(json.dumps({"end_members": relative.end_members}), encoding="utf-8")
        (path / f".{SWEEP_FILE}").replace(path / SWEEP_FILE)
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


def _copied(path: Path, source: Path) -> Path:
    """Copy the file of an end member, so that a resumed sweep does not need it."""
    target = path / "end-members" / source.name
    if target.exists() and source.exists() and target.read_bytes() != source.read_bytes():
        raise InputError(f"{path}: holds a sweep with another {source.name}; choose another folder")
    if not target.exists():
        partial = path / f".{source.name}"
        shutil.copyfile(source, partial)
        partial.replace(target)
    return target


def _replace_settings(settings: SweepSettings, path: Path) -> None:
    partial = path / ".settings.yaml"
    write_settings(settings, partial)
    partial.replace(path / "settings.yaml")
