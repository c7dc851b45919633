"""ShakeNBreak's folder layout (doi:10.21105/joss.04817), written and read.

``snb-parse``, ``snb-analyse`` and ``snb-plot`` work on the folders written here, and folders of ShakeNBreak can be read.

::

    v_Cd_0/                            the defect: name and charge
        v_Cd_0.yaml                    final energies, eV (the file of snb-parse)
        Unperturbed/POSCAR, CONTCAR    the start, and the relaxed structure
        Bond_Distortion_-30.0%/…
        Dimer/…

In the energies file a bond distortion is a number (−0.3), any other distortion its name, all under ``distortions`` but
``Unperturbed``, which stands beside it. A structure that comes from elsewhere carries ``_from_``, e.g.
``Bond_Distortion_-30.0%_from_-1``, in the file ``-30.0%_from_-1``. ShakeNBreak renames a folder whose relaxation gave a
positive energy or forces that cannot be to ``…_High_Energy``, and passes over it.
"""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Poscar

from defect_surrogate.crystal_files import MAX_FILE_BYTES
from defect_surrogate.distortions import SamplingSet
from defect_surrogate.errors import FolderError
from defect_surrogate.relaxation import Relaxation

HIGH_ENERGY = "_High_Energy"
"""Ending of a folder that ShakeNBreak has set aside."""

_BOND_DISTORTION = "Bond_Distortion_"
_DISTORTION_FOLDER = re.compile(r"(Unperturbed|Rattled|Dimer|Bond_Distortion_|Transferred_)")
_RENAMED_ENERGIES = re.compile(r"_\d{4}-\d\d-\d\d-\d\d-\d\d$")  # snb-parse's earlier files, by date and time


def write_sampling_structures(sampling: SamplingSet, root: Path) -> Path:
    """Write the starts of a search as ``<root>/<defect>/<label>/POSCAR``.

    Parameters
    ----------
    sampling
        Sampling structures of one vacancy, at least one.
    root
        Folder for the defects of a host; made if absent.

    Returns
    -------
    Path
        Folder of the defect.
    """
    folder = root / sampling.structures[0].vacancy.label
    for start in sampling.structures:
        _write_structure(start.structure, folder / start.label / "POSCAR", comment=f"{folder.name} {start.label}")
    return folder


def write_relaxed(relaxation: Relaxation, *, root: Path, defect: str, label: str) -> None:
    """Write a relaxed structure as CONTCAR and its energy to the energies file of the defect.

    A relaxation that cannot be ranked is not written, which ShakeNBreak takes for not converged. The energies file is
    replaced as a whole; one process at a time may write it.

    Parameters
    ----------
    relaxation
        Relaxation of one distortion.
    root
        Folder of the defects of a host; made if absent.
    defect
        Name and charge, e.g. ``v_Cd_0``.
    label
        Distortion label.

    Raises
    ------
    FolderError
        If the energies file that is there cannot be read.
    """
    if not relaxation.rankable or not math.isfinite(relaxation.energy):
        return
    _write_structure(relaxation.structure, root / defect / label / "CONTCAR", comment=f"{defect} {label}")
    path = root / defect / f"{defect}.yaml"
    energies = read_energies(path) if path.exists() else {}
    write_energies(energies | {label: relaxation.energy}, path)


def write_energies(energies: Mapping[str, float | None], path: Path) -> None:
    """Write an energies file as ``snb-parse`` does, replacing the one that is there.

    Parameters
    ----------
    energies
        Energy by distortion label, eV; None is left out.
    path
        ``<defect>/<defect>.yaml``; its folder must exist.
    """
    by_key = {energy_key(label): float(energy) for label, energy in energies.items() if energy is not None}
    unperturbed = by_key.pop("Unperturbed", None)
    numbers_first = sorted(by_key.items(), key=lambda item: (isinstance(item[0], str), item[0]))
    content: dict[str, object] = {"distortions": dict(numbers_first)}
    if unperturbed is not None:
        content["Unperturbed"] = unperturbed
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    partial.replace(path)


def read_energies(path: Path) -> dict[str, float | None]:
    """Read an energies file.

    Parameters
    ----------
    path
        File of ``snb-parse``, of any version: ``Dimer`` or ``Rattled`` may stand beside or under ``distortions``.

    Returns
    -------
    dict of str to (float or None)
        Energy by distortion label, eV; None where the file has none, or no finite number.

    Raises
    ------
    FolderError
        If the file is not a regular one, is larger than ``MAX_FILE_BYTES``, cannot be read or does not have this form.
    """
    if path.exists() and not path.is_file():
        raise FolderError(f"{path}: is not a regular file")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FolderError(f"{path}: larger than {MAX_FILE_BYTES / 1e6:g} MB, which no energies file is")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("distortions") or {}, dict):
        raise FolderError(f"{path}: is not an energies file of ShakeNBreak: no mapping under 'distortions'")
    entries = {key: value for key, value in content.items() if key != "distortions"} | (
        content.get("distortions") or {}
    )
    energies = {}
    for key, value in entries.items():
        try:
            energies[distortion_label(key)] = _finite(value)
        except FolderError as error:
            raise FolderError(f"{path}: {error}") from error
    return energies


def find_energies_file(folder: Path) -> Path | None:
    """Find the energies file of a defect folder.

    Parameters
    ----------
    folder
        Folder of one defect.

    Returns
    -------
    Path or None
        ``<folder name>.yaml`` if it is there, else the only other YAML file that is not an earlier one put aside by
        ``snb-parse``; None if there is none. Only regular files count.

    Raises
    ------
    FolderError
        If it could be any of several files.
    """
    named = folder / f"{folder.resolve().name}.yaml"
    if named.is_file():
        return named
    others = sorted(
        path
        for path in [*folder.glob("*.yaml"), *folder.glob("*.yml")]
        if path.is_file() and not _RENAMED_ENERGIES.search(path.stem)
    )
    if len(others) > 1:
        raise FolderError(
            f"{folder}: several energies files, none named {named.name}: {[path.name for path in others]}"
        )
    return others[0] if others else None


def distortion_folders(folder: Path) -> list[Path]:
    """Distortion folders directly under a folder, sorted by name.

    Parameters
    ----------
    folder
        Folder of one defect.

    Returns
    -------
    list of Path
        Those named as ShakeNBreak names them; empty when ``folder`` is not that of a defect.
    """
    return sorted(path for path in folder.iterdir() if _DISTORTION_FOLDER.match(path.name) and path.is_dir())


def energy_key(label: str) -> float | str:
    """Key of a distortion in the energies file.

    Parameters
    ----------
    label
        Distortion label, e.g. ``Bond_Distortion_-30.0%``.

    Returns
    -------
    float or str
        E.g. −0.3; ``-30.0%_from_-1``; ``Dimer``.
    """
    if not label.startswith(_BOND_DISTORTION):
        return label
    rest = label.removeprefix(_BOND_DISTORTION)
    percentage = _finite(rest.removesuffix("%"))
    return rest if percentage is None else round(percentage / 100, 6) + 0.0


def distortion_label(key: object) -> str:
    """Distortion label of a key of the energies file, the inverse of ``energy_key``.

    Parameters
    ----------
    key
        Number or string.

    Returns
    -------
    str
        E.g. ``Bond_Distortion_-30.0%``.

    Raises
    ------
    FolderError
        If the key is neither.
    """
    if isinstance(key, str):
        if _DISTORTION_FOLDER.match(key):
            return key
        try:
            key = float(key)
        except ValueError:
            return f"{_BOND_DISTORTION}{key}"
    if isinstance(key, bool) or not isinstance(key, int | float) or not math.isfinite(key):
        raise FolderError(f"distortion {key!r} is neither a number nor a name")
    return f"{_BOND_DISTORTION}{round(key * 100, 1) + 0.0}%"


def standard_label(name: str) -> str:
    """Distortion label of a folder's name, which may write the number another way.

    Parameters
    ----------
    name
        E.g. ``Bond_Distortion_-30%``.

    Returns
    -------
    str
        E.g. ``Bond_Distortion_-30.0%``.
    """
    return distortion_label(energy_key(name))


def _write_structure(structure: Structure, path: Path, *, comment: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = Poscar(structure, comment=comment).get_str(significant_figures=16)
    path.write_text(text, encoding="utf-8")


def _finite(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
