"""Ways to relax: this project's relaxer, and what a user would pick instead, all with one model and one criterion.

Each way gets a list of starts and says of each how it ended. Loading is not timed.
"""

import contextlib
import io
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import distributed
import matgl
import numpy as np
from ase import Atoms
from ase.optimize import FIRE, LBFGS
from ase.optimize.optimize import Optimizer
from matgl.ext.ase import PESCalculator, Relaxer
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from starts import MODEL

from defect_surrogate.relaxation import mean_force
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import load_potential, relax
from flows.workers import local_workers

SETTINGS = SurrogateSettings(potential=str(MODEL))
"""The paper's criterion: mean force below 1e-5 eV/Å, or 1500 steps."""


@dataclass(frozen=True)
class Result:
    """How a relaxation ended."""

    structure: Structure
    energy: float
    evaluations: int
    converged: bool


def with_ase(optimiser: type[Optimizer], start: Structure) -> Result:
    """Relax by an optimiser of ASE with matgl's calculator as it comes, in this process, with torch's default threads."""
    atoms = AseAtomsAdaptor.get_atoms(start, msonable=False)
    atoms.calc = PESCalculator(stock_model(), stress_unit="eV/A3")
    moves = optimiser(atoms, logfile=None)
    for step in range(SETTINGS.max_steps + 1):
        converged = mean_force(np.asarray(atoms.get_forces(), dtype=float)) <= SETTINGS.force_tolerance
        if converged or step == SETTINGS.max_steps:
            break
        moves.step()
    return Result(as_structure(atoms, start), atoms.get_potential_energy(), step + 1, converged)


def with_matgl_relaxer(start: Structure) -> Result:
    """Relax by matgl's Relaxer, which knows the largest force only: five times the tolerance, much the same in these cells."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        relaxer = Relaxer(stock_model(), optimizer="FIRE", relax_cell=False)
        ended = relaxer.relax(start.copy(), fmax=5 * SETTINGS.force_tolerance, steps=SETTINGS.max_steps)
    energies = ended["trajectory"].energies
    return Result(ended["final_structure"], float(energies[-1]), len(energies), len(energies) <= SETTINGS.max_steps)


def stock_model() -> matgl.apps.pes.Potential:
    """Load the model as matgl does, once in a process."""
    if not _models:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _models.append(matgl.load_model(MODEL))
    return _models[0]


_models: list[matgl.apps.pes.Potential] = []


def as_structure(atoms: Atoms, start: Structure) -> Structure:
    """Positions of atoms in the lattice of the start."""
    return Structure(start.lattice, start.species, atoms.positions, coords_are_cartesian=True)


def ours(start: Structure, settings: SurrogateSettings = SETTINGS) -> Result:
    """Relax by this project's relaxer, in this process."""
    potential = _potential()
    (ended,) = relax([start], potential, settings=settings)
    return Result(ended.structure, ended.energy, ended.provenance.evaluations, ended.converged)


def _potential():
    if not _loaded:
        _loaded.append(load_potential(str(MODEL)))
    return _loaded[0]


_loaded: list = []


@contextlib.contextmanager
def workers(count: int) -> Iterator[distributed.Client]:
    """Single-threaded Dask workers as a search has them, on which everything is loaded."""
    runner = local_workers(count, deaths_allowed=0)
    here = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), *([here] if here else [])])
    with (
        distributed.LocalCluster(**runner.cluster_kwargs) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.run(_warm)
        yield client


def _warm() -> None:
    _potential()
    stock_model()


def timed(relax_one: Callable[[Structure], Result], start: Structure) -> tuple[Result, float]:
    """Relax and measure the wall time, s."""
    began = time.perf_counter()
    result = relax_one(start)
    return result, time.perf_counter() - began


SERIAL = {
    "ASE FIRE": lambda start: with_ase(FIRE, start),
    "ASE L-BFGS": lambda start: with_ase(LBFGS, start),
    "matgl Relaxer (FIRE)": with_matgl_relaxer,
}
"""Name → way to relax one start in this process."""
