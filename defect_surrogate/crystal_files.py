"""Reading a crystal from a file or the Materials Project, and refusing what no calculation should be started from."""

import gzip
import io
import json
import os
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.io import read as ase_read
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser
from pymatgen.io.vasp.inputs import Poscar

from defect_surrogate.errors import HostError

MAX_FILE_BYTES = 10_000_000
"""Largest host file read, after decompression; a crystal of a few hundred atoms needs a thousandth of it."""

VOLUME_PER_ATOM = (2.0, 500.0)
"""Å³ per atom between which a cell is believed: metallic hydrogen has about 2, rare-gas solids 50, isolated clusters more."""

OVERLAP_FRACTION = 0.5
"""Atoms closer than this share of the sum of their covalent radii (Cordero, doi:10.1039/b801115j) overlap; N≡N has 0.77."""

MATERIALS_PROJECT_ID = re.compile(r"mp-\d+")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._()+-]{0,99}")
_SUFFIXES = re.compile(r"(\.(cif|vasp|poscar|contcar|xyz|extxyz|json|gz))+$", re.IGNORECASE)
_FORMAT = re.compile(r"^(POSCAR|CONTCAR)[._-]?|[._-]?(POSCAR|CONTCAR)$", re.IGNORECASE)


def read_crystal(source: str | Path) -> tuple[Structure, str]:
    """Read one crystal.

    Parameters
    ----------
    source
        Path of a CIF, POSCAR or CONTCAR, extended XYZ or pymatgen JSON file, plain or ``.gz``; or a Materials Project id.

    Returns
    -------
    tuple of Structure and str
        The crystal as written, unchecked, and the file's name or the id.

    Raises
    ------
    HostError
        If it cannot be read, is too large, is of no known format or holds several crystals.
    """
    label = str(source)
    if MATERIALS_PROJECT_ID.fullmatch(label) and not Path(label).exists():
        return _fetch(label), label
    return _read_file(Path(source)), Path(source).name


def name_from_source(source: str | Path) -> str | None:
    """Return the name that a crystal has from its file, which tells polymorphs and alloys of one formula apart.

    Parameters
    ----------
    source
        Path, or a Materials Project id.

    Returns
    -------
    str or None
        The file's name without its format, e.g. ``CdTe`` of ``CdTe.cif`` and of ``POSCAR_CdTe``, or the id; None where nothing
        is left, as of ``POSCAR``.
    """
    return _FORMAT.sub("", _SUFFIXES.sub("", Path(source).name)) or None


def is_host_name(name: str) -> bool:
    """Whether a host can have a name: letters, digits and . _ ( ) + -, at most 100, no '..', so that it is a folder's too."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def check_crystal(structure: Structure, source: str) -> None:
    """Refuse a crystal that no calculation should be started from.

    Parameters
    ----------
    structure
        The crystal.
    source
        Where it comes from, for messages.

    Raises
    ------
    HostError
        If there is no atom, a site is partly occupied or no element, a number is not finite, the volume per atom is absurd, or
        two atoms overlap. The message names the source, the site and the value.
    """
    if len(structure) == 0:
        raise HostError(f"{source}: holds no atoms")
    for i, site in enumerate(structure):
        if not site.is_ordered:
            raise HostError(f"{source}: site {i} is partly or multiply occupied: {site.species_string}")
        if site.specie.symbol not in atomic_numbers or atomic_numbers[site.specie.symbol] == 0:
            raise HostError(f"{source}: site {i} is {site.species_string!r}, which is no element")
    if not np.isfinite(structure.lattice.matrix).all() or not np.isfinite(structure.frac_coords).all():
        raise HostError(f"{source}: a lattice vector or a coordinate is not a finite number")
    volume = structure.volume / len(structure)
    if not VOLUME_PER_ATOM[0] <= volume <= VOLUME_PER_ATOM[1]:
        raise HostError(
            f"{source}: {volume:.3g} Å³ per atom (cell of {structure.volume:.3g} Å³, {len(structure)} atoms) is not "
            f"between {VOLUME_PER_ATOM[0]:g} and {VOLUME_PER_ATOM[1]:g}"
        )
    _check_overlaps(structure, source)


def _check_overlaps(structure: Structure, source: str) -> None:
    radii = np.array([covalent_radii[site.specie.Z] for site in structure])
    first, second, _, distances = structure.get_neighbor_list(r=OVERLAP_FRACTION * 2 * radii.max(), exclude_self=False)
    limits = OVERLAP_FRACTION * (radii[first] + radii[second])
    for i, j, distance, limit in zip(first, second, distances, limits, strict=True):
        if distance < limit and (i != j or distance > 1e-8):
            raise HostError(
                f"{source}: sites {min(i, j)} ({structure[int(min(i, j))].species_string}) and {max(i, j)} "
                f"({structure[int(max(i, j))].species_string}) overlap: {distance:.3f} Å apart, less than {limit:.3f} Å"
            )


def _fetch(material_id: str) -> Structure:
    try:
        from mp_api.client import MPRester  # noqa: PLC0415  (optional extra)
    except ImportError as error:
        raise HostError(
            f"{material_id}: a Materials Project id needs the extra: pip install defect-surrogate[mp]"
        ) from error
    if not (os.environ.get("MP_API_KEY") or os.environ.get("PMG_MAPI_KEY")):
        raise HostError(f"{material_id}: no Materials Project key: set MP_API_KEY")
    try:
        with MPRester() as rester:
            structure = rester.get_structure_by_material_id(material_id)
    except Exception as error:
        raise HostError(f"{material_id}: not fetched from the Materials Project: {error}") from error
    return structure


def _read_file(path: Path) -> Structure:
    text = _read_text(path)
    stem = path.name.removesuffix(".gz").lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if stem.endswith(".cif"):
                return _from_cif(text)
            if stem.endswith((".xyz", ".extxyz")):
                return _from_extxyz(text)
            if stem.endswith(".json"):
                return Structure.from_dict(json.loads(text))
            if stem.endswith((".vasp", ".poscar")) or "poscar" in stem or "contcar" in stem:
                return _from_poscar(text)
    except HostError:
        raise
    except Exception as error:
        raise HostError(f"{path}: cannot be read as a crystal: {type(error).__name__}: {error}") from error
    raise HostError(
        f"{path}: not a known format; known are .cif, POSCAR, CONTCAR, .vasp, .extxyz, .json, each also as .gz"
    )


def _read_text(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise HostError(f"{path}: cannot be read: not a regular file")
    try:
        with path.open("rb") as raw:
            content = (gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw).read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise HostError(f"{path}: cannot be read: {error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise HostError(f"{path}: larger than {MAX_FILE_BYTES / 1e6:g} MB, which no host of this software is")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HostError(f"{path}: is not text: {error}") from error


def _from_cif(text: str) -> Structure:
    # Occupancies above 1 are kept (not rescaled) and close sites not merged, so that our own checks see and name them.
    parser = CifParser(io.StringIO(text), occupancy_tolerance=100.0, site_tolerance=1e-3)
    structures = parser.parse_structures(primitive=False, check_occu=False, on_error="raise")
    if len(structures) != 1:
        raise HostError(f"the CIF holds {len(structures)} structures; exactly one is needed")
    return structures[0]


def _from_extxyz(text: str) -> Structure:
    atoms = ase_read(io.StringIO(text), format="extxyz", index="-1")
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise HostError(f"the extxyz has no periodic cell: pbc={atoms.pbc.tolist()}, cell={atoms.cell.tolist()}")
    return Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True)


def _from_poscar(text: str) -> Structure:
    lines = text.splitlines()
    if len(lines) > 5 and lines[5].split() and lines[5].split()[0].isdigit():
        raise HostError("the POSCAR is of VASP 4: it names no elements; add their symbols above the counts")
    return Poscar.from_str(text).structure
