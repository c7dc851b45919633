"""The folder of a run: all that ``resume`` needs, and all that a person looks for. ``build-dataset`` works in one too.

::

    run/
        run.json  settings.yaml  host/<file>   what was asked for of a search
        build.json                             what was asked for of build-dataset
        units.json                             name and key of each unit of the search, as far as they are known
        archive/                               every finished unit
        sampling/<host>/<vacancy>.json         sampling structures, made anew if lost
        structures/<host>/<level>/             starts and relaxed structures in ShakeNBreak's layout
        campaign.json  results.csv  report.html  minima/
        isolated_atoms.yaml                    of build-dataset: energies of atoms, eV
        prefect/                               database of the local Prefect server
"""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defect_surrogate.crystal_files import MATERIALS_PROJECT_ID, read_crystal
from defect_surrogate.errors import InputError, SettingsError
from defect_surrogate.reports.files import replace_file
from defect_surrogate.settings import BuildSettings, SearchSettings
from defect_surrogate.settings_files import read_settings, write_settings
from flows.work_folder import WorkFolder

logger = logging.getLogger(__name__)

BUILD_FILE = "build.json"


@dataclass(frozen=True)
class RunFolder(WorkFolder):
    """The folder of a search.

    Attributes
    ----------
    path
        The folder.
    source
        Path of the copy of the host's file.
    settings
        Settings of the search.
    """

    source: str
    settings: SearchSettings

    @property
    def structures(self) -> Path:
        """Folder of starts and relaxed structures."""
        return self.path / "structures"


def create_run(path: Path, source: str, settings: SearchSettings, *, shared_archive: Path | None = None) -> RunFolder:
    """Make a run folder, or enter the one that is there for the same host.

    Parameters
    ----------
    path
        The folder; made when missing.
    source
        Path of the host's file, or a Materials Project id.
    settings
        Settings of the search. Others than those of an earlier search in this folder are logged: units they do not touch
        are found again, changed ones are new units beside the old.
    shared_archive
        Root of the archive, if it is not one of the folder's own. The host's file may then change.

    Returns
    -------
    RunFolder
        With a copy of the host's file.

    Raises
    ------
    InputError
        If the folder holds the search of another host, or is a file, or cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if (path / "sweep.json").exists():
            raise InputError(f"{path}: holds the sweep of an alloy; choose another folder")
        path = path.absolute()
        copy = _copied_source(path, source, replaced=shared_archive is not None)
        run = RunFolder(path, str(copy), settings, shared_archive=shared_archive)
        if (path / "settings.yaml").exists() and _has_units(path):
            try:
                log_changes(read_settings(path / "settings.yaml"), settings, path)
            except SettingsError as error:  # damaged, or of another version of the software
                logger.warning("%s; what has changed since is not known", error)
        partial = path / ".settings.yaml"
        write_settings(settings, partial)
        partial.replace(path / "settings.yaml")
        note = {"source": f"host/{copy.name}"}
        if shared_archive is not None:
            note["archive"] = os.path.relpath(shared_archive, path)
        replace_file(path / "run.json", json.dumps(note))
    except OSError as error:
        raise InputError(f"{path}: cannot be the folder of a run: {error}") from error
    return run


def create_build(path: Path, sources: Sequence[str], settings: BuildSettings) -> WorkFolder:
    """Make a folder for ``build-dataset``, or enter one that is there.

    Parameters
    ----------
    path
        The folder; made when missing.
    sources
        Files of the hosts.
    settings
        What is computed of each.

    Returns
    -------
    WorkFolder
        With a note of what was asked for.

    Raises
    ------
    InputError
        If it is a file, or cannot be written.
    """
    asked = {"sources": list(sources), "settings": settings.model_dump(mode="json")}
    try:
        path.mkdir(parents=True, exist_ok=True)
        replace_file(path / BUILD_FILE, json.dumps(asked, indent=1))
    except OSError as error:
        raise InputError(f"{path}: cannot be the folder of a run: {error}") from error
    return WorkFolder(path.absolute())


def open_folder(path: Path) -> WorkFolder:
    """Open the folder of an earlier search or ``build-dataset``.

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
        If it is neither.
    """
    return WorkFolder(path.absolute()) if (path / BUILD_FILE).is_file() else open_run(path)


def open_run(path: Path) -> RunFolder:
    """Open the folder of an earlier search.

    Parameters
    ----------
    path
        The folder.

    Returns
    -------
    RunFolder
        With the source and the settings it was made with.

    Raises
    ------
    InputError
        If it is not the folder of a search, but perhaps of ``build-dataset``.
    """
    if (path / BUILD_FILE).is_file() and not (path / "run.json").exists():
        raise InputError(f"{path}: of build-dataset, not of a search: run build-dataset again, which continues there")
    path = path.absolute()
    try:
        note = json.loads((path / "run.json").read_text(encoding="utf-8"))
        source, archive = str(note["source"]), note.get("archive")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is not the folder of a search: no run.json that can be read there") from error
    shared = None if archive is None else Path(os.path.normpath(path / archive))
    return RunFolder(path, str(path / source), read_settings(path / "settings.yaml"), shared_archive=shared)


def _has_units(path: Path) -> bool:
    """Whether anything was computed in a folder."""
    own = path / "archive" / "units"
    return any(own.glob("*")) if own.is_dir() else bool(WorkFolder(path).units())


def _copied_source(path: Path, source: str, *, replaced: bool) -> Path:
    """Copy the host's file, or what the Materials Project answers, so that a resumed run needs neither."""
    is_id = MATERIALS_PROJECT_ID.fullmatch(source) is not None and not Path(source).exists()
    target = path / "host" / (f"{source}.json" if is_id else Path(source).name)
    earlier = [file for file in (path / "host").glob("*") if _has_units(path)]
    if is_id and target in earlier:
        return target
    content = json.dumps(read_crystal(source)[0].as_dict()).encode() if is_id else Path(source).read_bytes()
    if earlier and not replaced and (earlier != [target] or target.read_bytes() != content):
        raise InputError(f"{path}: holds the search of {earlier[0].name}, which is another host; choose another folder")
    target.parent.mkdir(exist_ok=True)
    for file in target.parent.glob("*"):
        if file != target:
            file.unlink()
    partial = path / ".host"
    partial.write_bytes(content)
    partial.replace(target)
    return target


def log_changes(before: SearchSettings, now: SearchSettings, path: Path) -> None:
    """Log which sections of the settings of a folder have changed since it was worked in.

    Parameters
    ----------
    before, now
        The settings.
    path
        The folder.
    """
    old, new = before.model_dump(), now.model_dump()
    for section in [name for name in new if old[name] != new[name]]:
        logger.warning(
            "%s: %s changed from %s to %s; units that depend on it are computed anew, the old ones are kept",
            path,
            section,
            old[section],
            new[section],
        )
