"""One distortion folder of somebody's finished calculation, as a reference relaxation.

Structure and energy come from vasprun.xml or OUTCAR. Only where there is neither, they come from CONTCAR and from the energies
file of ``snb-parse``; such a relaxation does not claim to have converged, for nobody has written down whether it has.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from monty.io import zopen
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Poscar

from defect_surrogate.crystal_files import MAX_FILE_BYTES
from defect_surrogate.errors import FolderError
from defect_surrogate.relaxation import Provenance, Relaxation
from defect_surrogate.shakenbreak_folders import HIGH_ENERGY, standard_label
from defect_surrogate.vasp import parse_run
from defect_surrogate.vasp.outputs import find_output

logger = logging.getLogger(__name__)

ENERGY_CONFLICT = 0.01
"""Difference of the energies in a calculation's output and in the energies file from which it is reported, eV."""

NOT_RECORDED = "not recorded"
"""Level of theory and method of a relaxation of which only structure and energy are left."""


def read_finished_relaxation(
    folder: Path, *, energies: Mapping[str, float | None], energies_file: Path | None
) -> Relaxation:
    """Read the result in a distortion folder.

    Parameters
    ----------
    folder
        Distortion folder.
    energies
        Content of the energies file of the defect, eV by distortion label.
    energies_file
        Where it was read; None if there is none.

    Returns
    -------
    Relaxation
        At the reference level. When output and energies file differ, the output is used and ``detail`` gives both.

    Raises
    ------
    FolderError
        If there is no structure or no energy, the energy is positive, or ShakeNBreak has set the folder aside.
    ReferenceRunError
        If there is output that cannot be believed.
    """
    if folder.name.endswith(HIGH_ENERGY):
        raise FolderError(f"{folder}: set aside by ShakeNBreak for a positive energy or forces that cannot be")
    energy = energies.get(standard_label(folder.name))
    if find_output(folder, "vasprun.xml") or find_output(folder, "OUTCAR"):
        relaxation = parse_run(folder)
        if energy is not None and energies_file and abs(energy - relaxation.energy) > ENERGY_CONFLICT:
            conflict = f"{energies_file.name} has {energy:.4f} eV, the output {relaxation.energy:.4f} eV, which is used"
            logger.warning("%s: %s", folder, conflict)
            relaxation = replace(relaxation, detail=f"{relaxation.detail}; {conflict}")
    else:
        contcar = find_output(folder, "CONTCAR")
        if contcar is None:
            raise FolderError(f"{folder}: has no CONTCAR, vasprun.xml or OUTCAR; it holds {_contents(folder)}")
        structure = read_structure(contcar)
        if energy is None or energies_file is None:
            source = energies_file.name if energies_file else "energies file (there is none)"
            raise FolderError(f"{folder}: a CONTCAR, but no vasprun.xml or OUTCAR, and no energy in the {source}")
        relaxation = Relaxation(
            level="reference",
            structure=structure,
            energy=energy,
            steps=0,
            converged=False,
            reason="not recorded",
            detail=f"energy from {energies_file.name}; steps and convergence not recorded",
            provenance=Provenance(
                level_of_theory=NOT_RECORDED, method=NOT_RECORDED, seconds=math.nan, evaluations=0, versions=()
            ),
        )
    if relaxation.energy > 0:
        raise FolderError(f"{folder}: energy {relaxation.energy:.4f} eV is positive")
    return relaxation


def read_structure(path: Path) -> Structure:
    """Read a POSCAR or CONTCAR, plain or compressed.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Structure
        Sites in the order of the file.

    Raises
    ------
    FolderError
        If the file is absent, no regular file, larger than ``MAX_FILE_BYTES``, empty, cut short, or has coordinates that are
        not finite.
    """
    if not path.is_file():
        raise FolderError(f"{path}: cannot be read as a POSCAR: no such file, or not a regular one")
    try:
        with zopen(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES / 1e6:g} MB")
        structure = Poscar.from_str(content.decode("utf-8"), read_velocities=False).structure
    except Exception as error:  # pymatgen's parser fails in as many ways as files can be broken
        raise FolderError(f"{path}: cannot be read as a POSCAR: {type(error).__name__}: {error}") from error
    if not (np.isfinite(structure.frac_coords).all() and np.isfinite(structure.lattice.matrix).all()):
        raise FolderError(f"{path}: holds coordinates that are not finite")
    return structure


def _contents(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "") if names else "nothing"
