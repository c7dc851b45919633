"""A finished unit at its smallest: two files that the reader of the archive reads, and that compress well.

The files of the calculation are left out, and the frames thinned evenly, as the paper did for its training data
(doi:10.1038/s41524-024-01303-9). Positions and forces are written at 1e-6. The structures in ``unit.json`` keep every bit,
since the key of a unit is a digest of its start; of ``Structure.as_dict`` only what the rest follows from is kept. ``bundled``
in ``unit.json`` says what is missing.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from defect_surrogate.archive.records import Record, manifest_digest, read_frames, read_record
from defect_surrogate.relaxation import Frame, Level, Reason, Relaxation, Unit

FRAMES, MANIFEST = "frames.extxyz", "unit.json"

DECIMALS = 6
"""Of positions in Å and forces in eV/Å; energies and stresses have the eight of the archive."""


def compact_unit(directory: Path, *, frames: int) -> dict[str, bytes]:
    """Return the files of a unit at its smallest.

    Parameters
    ----------
    directory
        A whole unit of an archive.
    frames
        Most frames, at least 2: evenly spaced, first and last among them.

    Returns
    -------
    dict of str to bytes
        Contents of ``frames.extxyz`` and ``unit.json``.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        If the unit is not whole, or its key not that of its level, start and method.
    """
    record = read_record(directory, thorough=False)
    _unit(record)
    every = read_frames(directory / FRAMES)
    kept = [int(i) for i in np.linspace(0, len(every) - 1, frames)] if len(every) > frames else [*range(len(every))]
    text = "".join(_frame_text(every[i]) for i in kept).encode()
    return {FRAMES: text, MANIFEST: _manifest(record, text, kept, of=len(every))}


def read_compact_unit(directory: Path) -> tuple[Unit, Relaxation]:
    """Read and verify the files of ``compact_unit``, which a stranger may have written.

    Parameters
    ----------
    directory
        Where the two files are.

    Returns
    -------
    tuple of Unit and Relaxation
        The unit, whose key is that of its level, start and method; and its outcome, without frames.

    Raises
    ------
    Exception
        Whatever a reader makes of content that is damaged, or is not what it says it is.
    """
    content = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    if content["files"].keys() != {FRAMES}:
        raise ValueError(f"{MANIFEST} lists other files than {FRAMES}: {', '.join(content['files'])}")
    for name in ("start", "relaxed"):
        if content[name] != _plain(_structure(content[name])):
            raise ValueError(f"{MANIFEST}: {name} is more than a lattice and sites")
    record = read_record(directory, thorough=True)
    unit = _unit(record)
    if unit.level not in get_args(Level) or record.relaxation.reason not in get_args(Reason):
        raise ValueError(f"{unit.name}: unknown level, or reason {record.relaxation.reason!r}")
    if not record.relaxation.finished:
        raise ValueError(f"{unit.name}: ended by a {record.relaxation.reason}: not its result")
    frames, kept = read_frames(directory / FRAMES), content["bundled"]["frames_kept"]
    if len(frames) != len(kept):
        raise ValueError(f"{unit.name}: {FRAMES} has {len(frames)} frames, {MANIFEST} says {kept}")
    if any(frame.structure.species != record.start.species for frame in frames):
        raise ValueError(f"{unit.name}: {FRAMES} has other atoms than the start")
    return unit, record.relaxation


def _unit(record: Record) -> Unit:
    """Return the unit that a record answers, with the key made anew."""
    host, defect, label, _ = record.name.split("/")
    unit = Unit(host, defect, label, record.relaxation.level, record.start, record.relaxation.provenance.method)
    if unit.key != record.key:
        raise ValueError(f"{unit.name}: key {record.key}, but level, start and method give {unit.key}")
    return unit


def _manifest(record: Record, frames: bytes, kept: list[int], *, of: int) -> bytes:
    """Return ``unit.json``; what is missing is counted from the unit as it was computed, however often it was packed."""
    content = json.loads((record.path / MANIFEST).read_text(encoding="utf-8"))
    del content["digest"]
    before = content.get("bundled", {"frames": of, "frames_kept": list(range(of)), "files_left_out": []})
    content["bundled"] = {
        "frames": before["frames"],
        "frames_kept": [before["frames_kept"][i] for i in kept],
        "decimals": DECIMALS,
        "files_left_out": sorted({*before["files_left_out"], *content["files"]} - {FRAMES}),
    }
    content["start"] = _plain(record.start)
    content["relaxed"] = _plain(record.relaxation.structure)
    content["files"] = {FRAMES: {"bytes": len(frames), "sha256": hashlib.sha256(frames).hexdigest()}}
    return json.dumps(content | {"digest": manifest_digest(content)}, separators=(",", ":"), allow_nan=False).encode()


def _plain(structure: Structure) -> dict[str, Any]:
    return {
        "lattice": {"matrix": structure.lattice.matrix.tolist()},
        "sites": [
            {"species": [{"element": site.specie.symbol, "occu": 1}], "abc": site.frac_coords.tolist()}
            for site in structure
        ],
    }


def _structure(plain: dict[str, Any]) -> Structure:
    symbols = [site["species"][0]["element"] for site in plain["sites"]]
    return Structure(plain["lattice"]["matrix"], symbols, [site["abc"] for site in plain["sites"]])


def _frame_text(frame: Frame) -> str:
    """Return a frame as extended XYZ, in columns of one width, which xz packs best."""
    lattice = f'Lattice="{_numbers(frame.structure.lattice.matrix)}"'
    stress = "" if frame.stress is None else f' stress="{_numbers(frame.stress.round(8))}"'
    head = f'{lattice} Properties=species:S:1:pos:R:3:forces:R:3 energy={round(frame.energy, 8)!r}{stress} pbc="T T T"'
    rows = np.hstack([frame.structure.cart_coords, frame.forces]).round(DECIMALS) + 0.0
    lines = [
        f"{site.specie.symbol:<2}" + "".join(f" {value:10.{DECIMALS}f}" for value in row)
        for site, row in zip(frame.structure, rows.tolist(), strict=True)
    ]
    return "\n".join([str(len(lines)), head, *lines, ""])


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(repr(value) for value in values.ravel().tolist())
