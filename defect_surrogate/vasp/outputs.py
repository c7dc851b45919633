"""What one VASP output file says, step by step, before anything is concluded from it.

Energies are energy(σ→0), the value pymatgen, ASE and ShakeNBreak report: the extrapolation of the smeared free energy
to no smearing, (E + F)/2. Forces are derivatives of the free energy F, which is the same number where no level is partly
occupied. In vasprun.xml the e_0_energy of an ionic step is wrong in some versions of VASP
(https://www.vasp.at/forum/viewtopic.php?f=3&t=16942) and that of its last electronic step lacks dispersion, so, as in
ASE, their difference within the electronic step is added to e_fr_energy, less the P·V of PSTRESS.

Stress is (1/V) ∂E/∂ε in eV/Å³, ASE's sign: VASP writes its negative, in kB.
"""

import bz2
import gzip
import io
import lzma
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.io.vasp import read_vasp_out
from ase.units import GPa
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp.outputs import Vasprun

from defect_surrogate.errors import ReferenceRunError
from defect_surrogate.relaxation import Frame
from defect_surrogate.vasp.functional import functional_name, potcar_element, stand_in_level
from defect_surrogate.vasp.potcars import STAND_IN_MARK

KILOBAR = 0.1 * GPa
"""eV/Å³."""

_OPENERS: dict[str, Callable[[Path], Any]] = {"": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_CONVERGENCE_TAGS = ("NELM", "NSW", "IBRION", "EDIFFG")
_HYBRID_TAGS = ("LHFCALC", "HFSCREEN", "AEXX")
_FUNCTIONAL_TAGS = ("GGA", "METAGGA", "LDAU", "LDAUTYPE", "IVDW", "LUSE_VDW", "LSORBIT")


POTCAR = "POTCAR"
"""Among the versions of what computed a relaxation, ``POTCAR Cd`` is the title of that of Cd."""


@dataclass(frozen=True)
class VaspOutput:
    """The content of a vasprun.xml or an OUTCAR.

    Attributes
    ----------
    source
        The file.
    frames
        All ionic steps.
    self_consistent
        Of each step, whether it converged electronically.
    tags
        Values in force, defaults included, as far as the file tells.
    given_tags
        Tags of the INCAR, as far as the file tells.
    titels
        TITEL of each POTCAR.
    level_of_theory
        In words.
    versions
        Name and version of the program that wrote the file, and of what it computes with, the titles of VASP's POTCARs too.
    """

    source: Path
    frames: tuple[Frame, ...]
    self_consistent: tuple[bool, ...]
    tags: Mapping[str, Any]
    given_tags: Mapping[str, Any]
    titels: tuple[str, ...]
    level_of_theory: str
    versions: tuple[tuple[str, str], ...]


def find_output(directory: Path, name: str) -> Path | None:
    """Find an output file, plain or compressed.

    Parameters
    ----------
    directory
        Where to look.
    name
        E.g. ``OUTCAR``.

    Returns
    -------
    Path or None
        The plain file if there is one, else with .gz, .bz2 or .xz.
    """
    paths = (directory / f"{name}{suffix}" for suffix in _OPENERS)
    return next((path for path in paths if path.is_file()), None)


def read_text(path: Path) -> str:
    """Read a text file, plain or compressed.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        Its text; bytes that are not UTF-8 replaced.

    Raises
    ------
    ReferenceRunError
        If it cannot be read or its compression is broken.
    """
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as file:
            return str(file.read().decode("utf-8", errors="replace"))
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ReferenceRunError(f"{path}: cannot be read: {error}") from error


def read_vasprun(path: Path) -> VaspOutput:
    """Read a vasprun.xml.

    Parameters
    ----------
    path
        The file, plain or compressed.

    Returns
    -------
    VaspOutput
        What it says.

    Raises
    ------
    ReferenceRunError
        If it is truncated or holds no ionic step with energy, structure and forces.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # overflows and unconverged runs are judged here, step by step
            vasprun = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    except Exception as error:  # lxml, pymatgen and compression each raise their own
        steps = read_text(path).count("</calculation>")
        raise ReferenceRunError(f"{path}: truncated or malformed after {steps} whole ionic steps: {error}") from error
    tags = dict(vasprun.parameters)
    pressure = float(tags.get("PSTRESS", 0.0)) * KILOBAR
    frames, self_consistent = [], []
    for number, step in enumerate(vasprun.ionic_steps, start=1):
        try:
            frames.append(_vasprun_frame(step, pressure))
        except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
            what = f"it has no {error.args[0]}" if isinstance(error, KeyError) else repr(error)
            raise ReferenceRunError(f"{path}: ionic step {number} is not whole: {what}") from error
        self_consistent.append(_self_consistent(len(step["electronic_steps"]), tags))
    generator = _generator(path)
    level, versions = _level_and_versions(
        program=generator.get("program", ""),
        version=generator.get("version", ""),
        engine=generator.get("subversion", ""),
        tags=tags | dict(vasprun.incar),
        titels=tuple(vasprun.potcar_symbols),
    )
    return VaspOutput(
        source=path,
        frames=tuple(frames),
        self_consistent=tuple(self_consistent),
        tags=tags,
        given_tags=dict(vasprun.incar),
        titels=tuple(vasprun.potcar_symbols),
        level_of_theory=level,
        versions=versions,
    )


def read_outcar(path: Path) -> VaspOutput:
    """Read an OUTCAR, for runs of which no vasprun.xml was kept.

    Parameters
    ----------
    path
        The file, plain or compressed. Its forces and positions have fewer digits than those of vasprun.xml.

    Returns
    -------
    VaspOutput
        What it says; of the tags only those that decide functional and convergence.

    Raises
    ------
    ReferenceRunError
        If it is truncated or holds no ionic step with energy, structure and forces.
    """
    text = read_text(path)
    steps = text.count("FREE ENERGIE OF THE ION-ELECTRON SYSTEM")
    if "General timing and accounting" not in text:
        raise ReferenceRunError(f"{path}: truncated after {steps} ionic steps: the accounting at its end is missing")
    try:
        file = io.StringIO(text)
        file.name = str(path)  # ASE looks for the constraints in POSCAR beside it
        images = read_vasp_out(file, index=slice(None))
        frames = tuple(_outcar_frame(image) for image in images)
    except Exception as error:  # ASE raises its own, ValueError on ****, and whatever a broken line leads to
        raise ReferenceRunError(f"{path}: cannot be read, {steps} ionic steps: {error!r}") from error
    names = (*_CONVERGENCE_TAGS, *_HYBRID_TAGS, *_FUNCTIONAL_TAGS)
    tags = {tag: value for tag in names if (value := _outcar_value(text, tag)) is not None}
    tags |= {match[1]: match[2] for match in re.finditer(r"\b(LDAU[UJ])\s*=((?:[ \t]+[-.\d]+)+)", text)}
    cycles = [0] * len(frames)
    for match in re.finditer(r"Iteration\s+(\d+)\(\s*(\d+)\)", text):
        if int(match[1]) <= len(cycles):
            cycles[int(match[1]) - 1] = max(cycles[int(match[1]) - 1], int(match[2]))
    titels = tuple(dict.fromkeys(title.strip() for title in re.findall(r"^\s*POTCAR:\s+(.+)$", text, re.MULTILINE)))
    head = text[:2000]
    stand_in = re.search(r"vasp-xtb.*?version\s+(\S+),\s+(.+?)$", head, re.DOTALL | re.MULTILINE)
    version = re.search(r"vasp\.(\S+)", head)
    level, versions = _level_and_versions(
        program="vasp-xtb" if stand_in else "vasp",
        version=stand_in[1] if stand_in else version[1] if version else "",
        engine=stand_in[2] if stand_in else "",
        tags=tags,
        titels=titels,
    )
    return VaspOutput(
        source=path,
        frames=frames,
        self_consistent=tuple(_self_consistent(count, tags) for count in cycles),
        tags=tags,
        given_tags=tags,
        titels=titels,
        level_of_theory=level,
        versions=versions,
    )


def _generator(path: Path) -> dict[str, str]:
    """Read what a vasprun.xml says of the program that wrote it; pymatgen changes the case of these words."""
    with _OPENERS.get(path.suffix, open)(path, "rb") as file:
        head = file.read(4000).decode("utf-8", errors="replace").partition("</generator>")[0]
    return {name: value.strip() for name, value in re.findall(r'name="(\w+)"[^>]*>([^<]*)<', head)}


def _vasprun_frame(step: Mapping[str, Any], pressure: float) -> Frame:
    last_cycle = step["electronic_steps"][-1]
    structure = step["structure"]
    energy = step["e_fr_energy"] + last_cycle["e_0_energy"] - last_cycle["e_fr_energy"] - pressure * structure.volume
    forces = np.asarray(step["forces"], dtype=np.float64)
    if forces.shape != (len(structure), 3):
        raise ValueError(f"forces of shape {forces.shape} for {len(structure)} atoms")
    stress = None if "stress" not in step else -KILOBAR * np.asarray(step["stress"], dtype=np.float64)
    return Frame(structure=structure, energy=float(energy), forces=forces, stress=stress)


def _outcar_frame(image: Any) -> Frame:
    structure = Structure(
        Lattice(image.cell.array), image.get_chemical_symbols(), image.get_scaled_positions(wrap=False)
    )
    results = image.calc.results
    stress = None if "stress" not in results else np.asarray(image.get_stress(voigt=False), dtype=np.float64)
    forces = np.asarray(image.get_forces(apply_constraint=False), dtype=np.float64)
    return Frame(structure=structure, energy=float(results["energy"]), forces=forces, stress=stress)


def _self_consistent(cycles: int, tags: Mapping[str, Any]) -> bool:
    """Whether a step ended before NELM cycles; NELM = 1 is a deliberate single diagonalisation."""
    limit = int(tags.get("NELM", 60))
    return limit == 1 or cycles < limit


def _outcar_value(text: str, tag: str) -> str | int | float | bool | None:
    found = re.search(rf"\b{tag}\s*=\s*([-+.\w]+)", text)
    if found is None:
        return None
    word = found[1]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word == "T" if word in ("T", "F") else word


def _level_and_versions(
    *, program: str, version: str, engine: str, tags: Mapping[str, Any], titels: tuple[str, ...]
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Say what computed this, trusting the program's own name and, besides, the titles of the POTCARs."""
    if "vasp-xtb" in program or any(STAND_IN_MARK in titel for titel in titels):
        method, _, library = engine.partition(" by ")
        name, _, number = library.partition(" ")
        return stand_in_level(method), (("vasp-xtb", version), (name or "tblite", number))
    potcars = tuple((f"{POTCAR} {potcar_element(titel)}", titel) for titel in titels)
    return f"{functional_name(tags, potcar_titles=titels)} (VASP)", (("VASP", version), *potcars)
