"""The cell of an alloy's supercell relaxed with a force field, ions and lattice together, by ASE.

The logarithm of the deformation gradient is relaxed as further coordinates (ASE's ``FrechetCellFilter``,
doi:10.1088/1361-648X/aa680e), with FIRE. One supercell for each realisation: not worth a batch.
"""

import time

import numpy as np
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from defect_surrogate.relaxation import Provenance, Reason, Relaxation, digest
from defect_surrogate.surrogates.potentials import Potential, check_structure

FORCE_TOLERANCE = 1e-3
"""eV/Å that neither a force nor the gradient with respect to the cell, as ASE scales it, exceeds (our choice)."""

MOST_STEPS = 500
"""Ionic steps; supercells of 64 atoms take some 50 (our choice)."""


def cell_method(potential: Potential) -> str:
    """Digest of all that decides the relaxed cell besides the start.

    Parameters
    ----------
    potential
        The force field, which enters by the digest of its weights.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    return digest({"cell": "FIRE", "potential": potential.digest, "force": FORCE_TOLERANCE, "max_steps": MOST_STEPS})


def relax_cell(structure: Structure, potential: Potential) -> Relaxation:
    """Relax ions and cell of a crystal with a force field.

    Parameters
    ----------
    structure
        n sites.
    potential
        The force field; its calculator gives stress.

    Returns
    -------
    Relaxation
        Sites in the order of the start; without frames. ``diverged``, with the start, if a number is not finite.

    Raises
    ------
    PotentialError
        If the structure has no atoms, or elements that the force field does not know.
    """
    check_structure(potential, structure)
    began = time.perf_counter()
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = potential.calculator
    optimiser = FIRE(FrechetCellFilter(atoms), logfile=None)
    converged = bool(optimiser.run(fmax=FORCE_TOLERANCE, steps=MOST_STEPS))
    energy = float(atoms.get_potential_energy())
    reason: Reason = "converged" if converged else "step limit"
    if not np.isfinite([energy, *atoms.positions.ravel(), *atoms.cell.array.ravel()]).all():
        reason = "diverged"
    relaxed = Structure(atoms.cell.array, [site.specie for site in structure], atoms.get_scaled_positions(wrap=False))
    return Relaxation(
        level="surrogate",
        structure=structure if reason == "diverged" else relaxed,
        energy=energy,
        steps=int(optimiser.nsteps),
        converged=reason == "converged",
        reason=reason,
        detail=f"cell relaxed to {FORCE_TOLERANCE:g} eV/Å"
        if converged
        else f"cell not relaxed in {optimiser.nsteps} steps",
        provenance=Provenance(
            level_of_theory=potential.level_of_theory,
            method=cell_method(potential),
            seconds=time.perf_counter() - began,
            evaluations=int(optimiser.nsteps) + 1,
            versions=potential.versions,
        ),
    )
