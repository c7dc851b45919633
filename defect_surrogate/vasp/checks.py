"""What the output of a run must agree with before it is believed: the program, the energy surface and the atoms asked for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints

from defect_surrogate.errors import ReferenceInputError, ReferenceInterruptedError, ReferenceRunError
from defect_surrogate.relaxation import Frame, Relaxation
from defect_surrogate.vasp.inputs import ReferenceMethod, grouped_order
from defect_surrogate.vasp.outputs import read_text

PATH_TAGS = frozenset(
    (
        *("ALGO", "AMIN", "AMIX", "AMIX_MAG", "BMIX", "BMIX_MAG", "EDIFF", "IALGO"),
        *("IBRION", "ICHARG", "IMIX", "IOPT", "ISEARCH", "ISTART", "ISYM", "KPAR"),
        *("LORBIT", "LPLANE", "NBANDS", "NCORE", "NELM", "NELMDL", "NELMIN", "NPAR"),
        *("NSIM", "POTIM", "SMASS", "SYMPREC", "TIME"),
    )
)
"""INCAR tags that decide how the minimum is reached, not where it is; custodian may change them."""


def check_program(relaxation: Relaxation, method: ReferenceMethod, directory: Path) -> None:
    """Refuse output of a program other than the one asked for.

    Parameters
    ----------
    relaxation
        As read.
    method
        As asked for.
    directory
        Of the run.

    Raises
    ------
    ReferenceInputError
        If VASP was asked for and vasp-xtb ran, or the other way round, or another version of vasp-xtb.
    """
    wrote = dict(relaxation.provenance.versions)
    if ("vasp-xtb" in wrote) != method.is_stand_in:
        raise ReferenceInputError(
            f"{directory}: {' '.join(method.command)} was to be {method.executable}, but the output is of "
            f"{relaxation.provenance.level_of_theory}: name vasp-xtb in vasp_cmd if that is meant"
        )
    if method.is_stand_in and f"vasp-xtb {wrote['vasp-xtb']}, tblite {wrote.get('tblite')}" != method.executable:
        raise ReferenceInputError(f"{directory}: was to be {method.executable}, but the output is of {wrote}")


def check_whole(directory: Path) -> None:
    """Refuse an OUTCAR that ends in the middle: what it does not say any more may be that the relaxation converged.

    Parameters
    ----------
    directory
        Of the run.

    Raises
    ------
    ReferenceInterruptedError
        If the timings are missing, with which VASP and vasp-xtb end the file.
    """
    outcar = directory / "OUTCAR"
    if "Elapsed time (sec)" not in read_text(outcar)[-5000:]:
        raise ReferenceInterruptedError(f"{outcar}: ends in the middle")


def check_corrections(corrections: Sequence[str], method: ReferenceMethod, directory: Path) -> None:
    """Refuse a result of another energy surface than the one asked for.

    Parameters
    ----------
    corrections
        What custodian did, in words.
    method
        As asked for.
    directory
        Of the run, with its inputs as custodian left them.

    Raises
    ------
    ReferenceRunError
        If a tag has changed that is not of ``PATH_TAGS``, or the k-points.
    """
    if not corrections:
        return
    asked, used = Incar(dict(method.incar)), Incar.from_file(directory / "INCAR")
    changed: dict[str, Any] = {
        tag: used.get(tag)
        for tag in sorted(asked.keys() | used.keys())
        if tag not in PATH_TAGS and str(used.get(tag)) != str(asked.get(tag))
    }
    mesh_asked, mesh_used = Kpoints.from_str(method.kpoints), Kpoints.from_file(directory / "KPOINTS")
    if mesh_asked.kpts != mesh_used.kpts or (mesh_asked.style != mesh_used.style and mesh_asked.kpts != [(1, 1, 1)]):
        changed["KPOINTS"] = mesh_used.kpts
    if changed:
        raise ReferenceRunError(
            f"{directory}: corrected by {'; '.join(corrections)}: with {changed} the energy cannot be "
            "compared with others; put the change into the settings, for all"
        )


def in_order_of(structure: Structure, relaxation: Relaxation, directory: Path, *, cell_moves: bool) -> Relaxation:
    """Return a relaxation with sites and forces in the order of its start.

    Parameters
    ----------
    structure
        The start.
    relaxation
        With sites in the order of the files.
    directory
        Of the run.
    cell_moves
        Whether the lattice may have changed.

    Raises
    ------
    ReferenceRunError
        If the files hold other atoms, or another lattice where it was to stay.
    """
    order = grouped_order(structure)
    symbols = [structure[index].specie.symbol for index in order]
    found = [site.specie.symbol for site in relaxation.structure]
    if found != symbols:
        raise ReferenceRunError(f"{directory}: POSCAR had the atoms {symbols}, the output has {found}")
    position = np.argsort(order)
    frames = tuple(_reordered(frame, structure, position) for frame in relaxation.frames)
    lattice = frames[-1].structure.lattice
    if not cell_moves and not np.allclose(lattice.matrix, structure.lattice.matrix, atol=1e-4):
        raise ReferenceRunError(f"{directory}: the cell was to stay {structure.lattice.abc} and became {lattice.abc}")
    return replace(relaxation, structure=frames[-1].structure, frames=frames)


def _reordered(frame: Frame, start: Structure, position: np.ndarray) -> Frame:
    ordered = Structure(
        frame.structure.lattice,
        start.species,
        frame.structure.frac_coords[position],
        site_properties=start.site_properties,
    )
    return replace(frame, structure=ordered, forces=frame.forces[position])
