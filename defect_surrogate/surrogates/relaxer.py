"""Relax many structures with a force field, cells fixed.

FIRE (doi:10.1103/PhysRevLett.97.170201) as implemented in ASE, until the mean over atoms of the force norms is below the
tolerance, as in Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9). A structure that leaves the range in which the force
field means anything ends as ``diverged`` and is never ranked; the others are not touched by it.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.optimize import FIRE
from numpy.typing import NDArray
from pymatgen.core import Structure

from defect_surrogate.relaxation import Frame, Provenance, Reason, Relaxation, digest, max_force, mean_force
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates.potentials import Potential

FORCE_LIMIT = 1e3
"""eV/Å above which a structure has exploded: a bond compressed to half its length has some 10² (our choice)."""

ENERGY_LIMIT = 50.0
"""eV per atom away from the start beyond which an energy is not one of matter: core electrons do not move (our choice)."""

LOST_FACTOR = 2.0
"""An atom farther from all others than this times the sum of covalent radii is lost, if not so at the start (our choice)."""


def surrogate_method(potential: Potential, settings: SurrogateSettings) -> str:
    """Digest of all that decides the result of a surrogate relaxation besides the starting structure.

    Parameters
    ----------
    potential
        The force field, which enters by the digest of its weights.
    settings
        Its convergence.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    return digest(
        {
            "potential": potential.digest,
            "optimiser": "FIRE (ASE)",
            "force_criterion": settings.force_criterion,
            "force_tolerance": settings.force_tolerance,
            "max_steps": settings.max_steps,
        }
    )


def relax(
    structures: Sequence[Structure],
    potential: Potential,
    *,
    settings: SurrogateSettings,
    on_finished: Callable[[int, Relaxation], None] | None = None,
) -> list[Relaxation]:
    """Relax structures with a force field, each in its fixed cell.

    Parameters
    ----------
    structures
        Starts; sizes, lattices and species may differ.
    potential
        The force field.
    settings
        Criterion, tolerance (eV/Å), most steps, and how many frames are kept.
    on_finished
        Called with the index of a structure and its relaxation as soon as it is finished, in any order.

    Returns
    -------
    list of Relaxation
        In the order of ``structures``.
    """
    relaxations = []
    for i, structure in enumerate(structures):
        relaxation = _relax_one(structure, potential, settings)
        if on_finished is not None:
            on_finished(i, relaxation)
        relaxations.append(relaxation)
    return relaxations


def _relax_one(structure: Structure, potential: Potential, settings: SurrogateSettings) -> Relaxation:
    started = time.perf_counter()
    atoms = Atoms(
        [site.specie.symbol for site in structure],
        positions=structure.cart_coords,
        cell=structure.lattice.matrix,
        pbc=True,
        calculator=potential.calculator,
    )
    potential.calculator.reset()
    criterion = mean_force if settings.force_criterion == "mean" else max_force
    isolated = _isolated(structure)
    optimiser = FIRE(atoms, logfile=None)
    frames: list[Frame] = []
    last: Frame | None = None
    step, reason, detail = 0, None, ""
    while reason is None:
        frame = _frame(atoms, structure)
        fault = _fault(frame, frames[0].energy if frames else frame.energy, isolated)
        reason, detail = _verdict(fault, criterion(frame.forces), step, settings)
        if _is_finite(frame):
            last = frame
            if reason is not None or step % settings.frame_interval == 0:
                frames.append(frame)
        if reason is None:
            optimiser.step()
            step += 1
    return Relaxation(
        level="surrogate",
        structure=structure if last is None else last.structure,
        energy=float("nan") if last is None else last.energy,
        steps=step,
        converged=reason == "converged",
        reason=reason,
        detail=detail,
        provenance=Provenance(
            level_of_theory=potential.level_of_theory,
            method=surrogate_method(potential, settings),
            seconds=time.perf_counter() - started,
            evaluations=step + 1,
            versions=potential.versions,
        ),
        frames=tuple(frames),
    )


def _verdict(fault: str | None, force: float, step: int, settings: SurrogateSettings) -> tuple[Reason | None, str]:
    shown = f"{settings.force_criterion} force {force:.2e} eV/Å after {step} steps"
    if fault is not None:
        return "diverged", f"{fault} after {step} steps"
    if force <= settings.force_tolerance:
        return "converged", shown
    if step >= settings.max_steps:
        return "step limit", f"{shown}, above {settings.force_tolerance:g}"
    return None, ""


def _frame(atoms: Atoms, structure: Structure) -> Frame:
    relaxed = Structure(structure.lattice, structure.species, atoms.positions, coords_are_cartesian=True)
    forces = np.array(atoms.get_forces(), dtype=np.float64)
    return Frame(relaxed, float(atoms.get_potential_energy()), forces, None)


def _fault(frame: Frame, start_energy: float, isolated: NDArray[np.bool_]) -> str | None:
    n = len(frame.structure)
    if not _is_finite(frame):
        return f"energy {frame.energy:g} eV or a force is not finite"
    if max_force(frame.forces) > FORCE_LIMIT:
        return f"exploded: a force of {max_force(frame.forces):.3g} eV/Å"
    if abs(frame.energy - start_energy) > ENERGY_LIMIT * n:
        return f"exploded: energy {frame.energy:.4g} eV, {start_energy:.4g} eV at the start"
    lost = np.flatnonzero(_isolated(frame.structure) & ~isolated)
    if lost.size:
        atom = int(lost[0])
        return f"lost atom {atom} ({frame.structure[atom].specie.symbol}): no neighbour left"
    return None


def _is_finite(frame: Frame) -> bool:
    positions = np.isfinite(frame.structure.frac_coords).all()
    return bool(positions and np.isfinite(frame.energy) and np.isfinite(frame.forces).all())


def _isolated(structure: Structure) -> NDArray[np.bool_]:
    """Whether each atom is alone, shape (n,)."""
    radii = np.array([covalent_radii[site.specie.Z] for site in structure])
    distances = structure.distance_matrix + np.diag(np.full(len(structure), np.inf))
    images = min(structure.lattice.abc)
    reach = LOST_FACTOR * (radii[:, None] + radii[None, :])
    return ~((distances < reach).any(axis=1) | (images < 2 * LOST_FACTOR * radii))
