"""How a relaxation is written into its archive directory, and read back."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read as ase_read
from ase.io import write as ase_write
from pymatgen.core import Structure

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.relaxation import Frame, Provenance, Relaxation, Unit

SCHEMA_VERSION = 1


class ForeignRecordError(Exception):
    """A whole unit, but of another version of this software."""


@dataclass(frozen=True)
class Record:
    """A finished unit as the archive holds it.

    Attributes
    ----------
    name
        Identity, e.g. ``CdTe/v_Cd_0/Dimer/reference``.
    key
        Digest of the unit's inputs.
    start
        Starting structure.
    relaxation
        The outcome, without frames.
    path
        Directory of the unit.
    """

    name: str
    key: str
    start: Structure
    relaxation: Relaxation
    path: Path


def manifest(unit: Unit, relaxation: Relaxation, directory: Path) -> str:
    """Return the text of ``unit.json``.

    Parameters
    ----------
    unit
        What was relaxed.
    relaxation
        The outcome.
    directory
        Of the unit, with its other files, whose sizes and digests go into the text.

    Returns
    -------
    str
        JSON that ends with the digest of the rest.
    """
    provenance = asdict(relaxation.provenance)
    provenance["seconds"] = _finite(relaxation.provenance.seconds)
    content = {
        "schema_version": SCHEMA_VERSION,
        "name": unit.name,
        "key": unit.key,
        "start": _structure_dict(unit.structure),
        "relaxed": _structure_dict(relaxation.structure),
        "energy": _finite(relaxation.energy),
        "steps": relaxation.steps,
        "converged": relaxation.converged,
        "reason": relaxation.reason,
        "detail": relaxation.detail,
        "provenance": provenance,
        "published": utc_now(),
        "files": {
            str(file.relative_to(directory)): {"bytes": file.stat().st_size, "sha256": file_digest(file)}
            for file in sorted(directory.rglob("*"))
            if file.is_file()
        },
    }
    return json.dumps(content | {"digest": manifest_digest(content)}, indent=1, allow_nan=False)


def manifest_digest(content: dict[str, Any]) -> str:
    """Return the digest that ``unit.json`` carries of its other entries.

    Parameters
    ----------
    content
        The entries without ``digest``, in any order.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_record(path: Path, *, thorough: bool) -> Record:
    """Read and verify the directory of a finished unit.

    Parameters
    ----------
    path
        Directory with ``unit.json``.
    thorough
        Compare the digests of all files, not only their sizes.

    Returns
    -------
    Record
        The unit.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        If anything is missing, damaged, or cannot be read.
    ForeignRecordError
        If another version of this software wrote it.
    """
    manifest = json.loads((path / "unit.json").read_text(encoding="utf-8"))
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise ForeignRecordError(f"schema version {manifest['schema_version']}, this software reads {SCHEMA_VERSION}")
    recorded = manifest.pop("digest")
    if recorded != manifest_digest(manifest):
        raise ValueError("unit.json does not match its digest")
    for name, expected in manifest["files"].items():
        size = (path / name).stat().st_size
        if size != expected["bytes"] or (thorough and file_digest(path / name) != expected["sha256"]):
            raise ValueError(f"{name} does not match its digest ({size} bytes, {expected['bytes']} expected)")
    provenance = manifest["provenance"]
    relaxation = Relaxation(
        level=manifest["name"].rsplit("/", 1)[1],
        structure=Structure.from_dict(manifest["relaxed"]),
        energy=_number(manifest["energy"]),
        steps=manifest["steps"],
        converged=manifest["converged"],
        reason=manifest["reason"],
        detail=manifest["detail"],
        provenance=Provenance(
            level_of_theory=provenance["level_of_theory"],
            method=provenance["method"],
            seconds=_number(provenance["seconds"]),
            evaluations=provenance["evaluations"],
            versions=tuple((name, version) for name, version in provenance["versions"]),
            corrections=tuple(provenance["corrections"]),
        ),
    )
    return Record(manifest["name"], manifest["key"], Structure.from_dict(manifest["start"]), relaxation, path)


def write_frames(path: Path, frames: Sequence[Frame]) -> None:
    """Write frames as extended XYZ: energy in eV, forces in eV/Å, stress in eV/Å³, all at 1e-8."""
    if frames:
        ase_write(path, [_atoms(frame) for frame in frames], format="extxyz")
    else:
        path.touch()


def read_frames(path: Path) -> tuple[Frame, ...]:
    """Read what ``write_frames`` wrote."""
    if path.stat().st_size == 0:
        return ()
    return tuple(_frame(atoms) for atoms in ase_read(path, index=":"))


def utc_now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _structure_dict(structure: Structure) -> dict[str, Any]:
    bare = Structure(structure.lattice, [site.specie.symbol for site in structure], structure.frac_coords)
    return bare.as_dict()


def _atoms(frame: Frame) -> Atoms:
    structure = frame.structure
    symbols = [site.specie.symbol for site in structure]
    atoms = Atoms(symbols, positions=structure.cart_coords, cell=structure.lattice.matrix, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=frame.energy, forces=frame.forces, stress=frame.stress)
    return atoms


def _frame(atoms: Atoms) -> Frame:
    structure = Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True)
    stress = atoms.get_stress(voigt=False) if "stress" in atoms.calc.results else None
    return Frame(structure, float(atoms.get_potential_energy()), atoms.get_forces(), stress)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
