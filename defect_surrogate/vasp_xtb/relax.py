"""The ionic loop: ASE's optimisers (https://ase-lib.org) driven by VASP's tags.

The optimiser calls an ASE calculator; each of its evaluations is an ionic step that is written, counted against NSW,
tested against EDIFFG and followed by a look at STOPCAR, whatever the optimiser does in between. So all of VASP's ways
to end are in one place, and no optimiser's own convergence test is used.
"""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms, FixScaled, FixSymmetry
from ase.filters import Filter, FrechetCellFilter
from ase.optimize import FIRE, LBFGS, BFGSLineSearch
from ase.optimize.optimize import Optimizer

from .engine import Engine, Evaluation
from .incar import parse_tags, read_logical
from .inputs import Job

DEFAULT_POTIM = 0.5
MAX_STEP = 0.2
"""Å, the longest step of an atom at the default POTIM; ASE's default."""
FORCE_NOISE = 1e-8
"""eV/Å, below which forces are rounding errors of tblite; going on with EDIFFG = 0 would divide by a step of zero."""
CURVATURE = 10.0
"""eV/Å², first guess of the curvature for IBRION = 1 and 2 at the default POTIM; ASE's default for the line search.

Evaluations to 0.01 eV/Å for the Cd vacancy in 63-atom CdTe, from the unperturbed and a −40 % distorted start: line search
9 and 41, L-BFGS 9 and 36 (with 70 eV/Å², ASE's default for it, 17 and 86), FIRE 38 for the first. All ended in the same two
minima, 2.84 eV apart.
"""
FIRE_TIME_STEP = 0.1
"""ASE's default, for IBRION = 3 at the default POTIM."""


SAME_PLACE = 1e-10
"""Å. Atoms and lattice vectors that move less have not moved."""


class Ending(Enum):
    """Why the ionic loop ended."""

    SINGLE_POINT = "single point"
    CONVERGED = "required accuracy reached"
    NSW = "NSW ionic steps done"
    LSTOP = "LSTOP in STOPCAR"
    LABORT = "LABORT in STOPCAR"


Record = Callable[[np.ndarray, np.ndarray, Evaluation], None]
"""Told of each ionic step: fractional positions (n, 3), cell (3, 3) in Å, evaluation."""


def relax(job: Job, engine: Engine, *, record: Record) -> Ending:
    """Evaluate the structure of a job, or relax it, as its INCAR says.

    Parameters
    ----------
    job
        Structure and settings.
    engine
        Evaluates energy, forces and stress.
    record
        Called with each ionic step as soon as it is evaluated.

    Returns
    -------
    Ending
        Not converging within NSW steps is an ending, no error.

    Raises
    ------
    VaspXtbStop
        If tblite refuses a structure on the way.
    """
    atoms = Atoms(
        job.poscar.symbols,
        scaled_positions=job.poscar.positions,
        cell=job.poscar.cell,
        pbc=True,
    )
    atoms.set_constraint(_constraints(atoms, job))
    atoms.calc = _IonicSteps(job, engine, record)
    try:
        atoms.get_potential_energy()
        _optimise(atoms, job)
    except _End as end:
        return end.ending
    return Ending.NSW


def requested_stop(directory: Path) -> Ending | None:
    """Return what a STOPCAR in a directory asks for: LABORT, LSTOP or nothing."""
    try:
        tags = parse_tags((directory / "STOPCAR").read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return None
    for ending in (Ending.LABORT, Ending.LSTOP):
        try:
            if read_logical(tags.get(ending.name, "F")):
                return ending
        except ValueError:
            continue
    return None


class _End(Exception):
    """Carries an ending out of an optimiser."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.value)
        self.ending = ending


class _IonicSteps(Calculator):
    """ASE's view of the engine; each evaluation is an ionic step."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, job: Job, engine: Engine, record: Record) -> None:
        super().__init__()
        self._job = job
        self._engine = engine
        self._record = record
        self._count = 0
        self._last_energy: float | None = None

    def check_state(self, atoms: Atoms, tol: float = SAME_PLACE) -> list[str]:
        """Return what has changed; ASE's cell filter moves atoms that stay by rounding errors, and would pay for each twice."""
        changes: list[str] = super().check_state(atoms, tol=tol)
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate, record, and end the run by ``_End`` where VASP would."""
        super().calculate(atoms, properties, system_changes)
        if requested_stop(self._job.directory) is Ending.LABORT:
            raise _End(Ending.LABORT)
        evaluation = self._engine.evaluate(self.atoms.positions, self.atoms.cell.array)
        self._count += 1
        self._record(self.atoms.get_scaled_positions(wrap=False), self.atoms.cell.array, evaluation)
        ending = self._ending(evaluation)
        if ending is not None:
            raise _End(ending)
        self._last_energy = evaluation.energy
        self.results = {
            "energy": evaluation.energy,
            "free_energy": evaluation.energy,
            "forces": evaluation.forces,
            "stress": evaluation.stress.flat[[0, 4, 8, 5, 2, 1]],
        }

    def _ending(self, evaluation: Evaluation) -> Ending | None:
        settings = self._job.settings
        if not settings.relaxes:
            return Ending.SINGLE_POINT
        if self._is_converged(evaluation):
            return Ending.CONVERGED
        if self._count >= settings.nsw:
            return Ending.NSW
        return requested_stop(self._job.directory)

    def _is_converged(self, evaluation: Evaluation) -> bool:
        criterion = self._job.settings.ediffg
        if criterion > 0:
            return self._last_energy is not None and abs(evaluation.energy - self._last_energy) < criterion
        forces = evaluation.forces.copy()
        for constraint in self.atoms.constraints:
            constraint.adjust_forces(self.atoms, forces)
        if self._job.settings.moves_cell:
            forces = np.vstack([forces, -self.atoms.get_volume() * evaluation.stress / len(self.atoms)])
        return bool(np.linalg.norm(forces, axis=1).max() < max(-criterion, FORCE_NOISE))


def _constraints(atoms: Atoms, job: Job) -> list[FixAtoms | FixScaled | FixSymmetry]:
    """Return selective dynamics, or else the symmetry of the start, as ASE's constraints."""
    mobile, settings = job.poscar.mobile, job.settings
    if mobile is None:
        with_symmetry = settings.isym > 0 and settings.relaxes
        return [FixSymmetry(atoms, symprec=settings.symprec)] if with_symmetry else []
    fixed = ~mobile
    partly = np.flatnonzero(fixed.any(axis=1) & ~fixed.all(axis=1))
    constraints: list[FixAtoms | FixScaled | FixSymmetry] = [FixScaled(int(index), fixed[index]) for index in partly]
    if fixed.all(axis=1).any():
        constraints.append(FixAtoms(mask=fixed.all(axis=1)))
    return constraints


def _optimise(atoms: Atoms, job: Job) -> None:
    """Run the optimiser of IBRION until an ionic step ends the run."""
    target = FrechetCellFilter(atoms) if job.settings.moves_cell else atoms
    try:
        _optimiser(target, ibrion=job.settings.ibrion, potim=job.settings.potim).run(fmax=0.0, steps=job.settings.nsw)
    except RuntimeError as error:
        if "LineSearch failed" not in str(error):
            raise
        _optimiser(target, ibrion=1, potim=job.settings.potim).run(fmax=0.0, steps=job.settings.nsw)


def _optimiser(target: Atoms | Filter, *, ibrion: int, potim: float) -> Optimizer:
    """Return ASE's optimiser for IBRION; a smaller POTIM makes it more careful."""
    careful = potim / DEFAULT_POTIM
    step: dict[str, Any] = {"maxstep": MAX_STEP * min(1.0, careful), "logfile": None}
    if ibrion == 1:
        return LBFGS(target, alpha=CURVATURE / careful, **step)
    if ibrion == 2:
        return BFGSLineSearch(target, alpha=CURVATURE / careful, **step)
    return FIRE(target, dt=FIRE_TIME_STEP * careful, **step)
