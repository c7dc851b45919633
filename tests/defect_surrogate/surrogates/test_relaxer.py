import dataclasses

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.optimize import FIRE
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from defect_surrogate.relaxation import mean_force
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import load_potential, relax, surrogate_method
from tests.potentials import as_potential


@pytest.fixture
def rattled_copper():
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.rattle(0.1, seed=5)
    return AseAtomsAdaptor.get_structure(atoms)


class Harmonic(Calculator):
    """Each atom tied to a site, k = 1 eV/Å²; misbehaves after ``patience`` calls in the way it is told to."""

    implemented_properties = ("energy", "forces")

    def __init__(self, sites, mishap="none", patience=3):
        super().__init__()
        self.sites, self.mishap, self.patience, self.calls = sites, mishap, patience, 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        displacement = atoms.positions - self.sites
        energy, forces = 0.5 * (displacement**2).sum(), -displacement
        if self.calls > self.patience:
            if self.mishap == "nan energy":
                energy = float("nan")
            elif self.mishap == "nan force":
                forces[0, 0] = np.nan
            elif self.mishap == "explode":
                forces[0] = [2e3, 0, 0]
            elif self.mishap == "hole":
                energy = -1e4
            elif self.mishap == "fling":
                self.sites[0] = [6.0, 6.0, 6.0]
        self.results = {"energy": energy, "forces": forces}


@pytest.fixture
def chain():
    """Three atoms 2.5 Å apart in a 12 Å box, and where they are tied to."""
    sites = np.array([[1.0, 1, 1], [3.5, 1, 1], [6.0, 1, 1]])
    return Structure(Lattice.cubic(12), ["Cu"] * 3, sites + 0.1, coords_are_cartesian=True), sites


def test_the_minimum_of_a_harmonic_potential(chain):
    structure, sites = chain
    (relaxed,) = relax([structure], as_potential(Harmonic(sites)), settings=SurrogateSettings())
    assert (relaxed.converged, relaxed.reason) == (True, "converged")
    assert relaxed.energy == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(relaxed.structure.cart_coords, sites, atol=2e-5)


@pytest.mark.parametrize("criterion", ["mean", "max"])
def test_the_trajectory_is_that_of_ases_fire(rattled_copper, criterion):
    settings = SurrogateSettings(optimiser="FIRE", force_criterion=criterion, force_tolerance=1e-3, frame_interval=1)
    (relaxed,) = relax([rattled_copper], as_potential(EMT()), settings=settings)
    atoms = AseAtomsAdaptor.get_atoms(rattled_copper, msonable=False)
    atoms.calc = EMT()
    optimiser = FIRE(atoms, logfile=None)
    measure = mean_force if criterion == "mean" else lambda forces: np.linalg.norm(forces, axis=1).max()
    energies = [atoms.get_potential_energy()]
    while measure(atoms.get_forces()) > 1e-3:
        optimiser.step()
        energies.append(atoms.get_potential_energy())
    assert [frame.energy for frame in relaxed.frames] == pytest.approx(energies, abs=1e-9)
    assert relaxed.steps == len(energies) - 1
    assert relaxed.provenance.evaluations == len(energies)


def test_the_step_limit_is_a_result(rattled_copper):
    settings = SurrogateSettings(max_steps=4, frame_interval=3)
    (relaxed,) = relax([rattled_copper], as_potential(EMT()), settings=settings)
    assert (relaxed.converged, relaxed.reason, relaxed.steps) == (False, "step limit", 4)
    assert relaxed.rankable
    assert len(relaxed.frames) == 3
    assert "above 1e-05" in relaxed.detail


@pytest.mark.parametrize(
    ("mishap", "told"),
    [
        ("nan energy", "not finite"),
        ("nan force", "not finite"),
        ("explode", "exploded: a force of 2e+03"),
        ("hole", "exploded: energy -1e+04 eV"),
        ("fling", "lost atom 0 (Cu)"),
    ],
)
def test_what_diverges_ends_alone_and_is_never_ranked(chain, mishap, told):
    structure, sites = chain
    calculator = Harmonic(sites.copy(), mishap)
    (relaxed,) = relax([structure], as_potential(calculator), settings=SurrogateSettings())
    assert relaxed.reason == "diverged"
    assert not relaxed.converged
    assert not relaxed.rankable
    assert told in relaxed.detail
    assert np.isfinite(relaxed.structure.cart_coords).all()
    assert all(np.isfinite(frame.energy) and np.isfinite(frame.forces).all() for frame in relaxed.frames)


def test_others_go_on_after_one_diverged(chain, rattled_copper):
    structure, sites = chain
    calculator = Harmonic(sites.copy(), "nan energy", patience=0)
    (relaxed,) = relax([structure], as_potential(calculator), settings=SurrogateSettings())
    assert np.isnan(relaxed.energy)
    results = relax(
        [rattled_copper, rattled_copper], as_potential(EMT()), settings=SurrogateSettings(force_tolerance=1e-2)
    )
    assert results[0].energy == results[1].energy


def test_the_start_is_not_changed(rattled_copper):
    before = rattled_copper.copy()
    relax([rattled_copper], as_potential(EMT()), settings=SurrogateSettings(max_steps=2))
    assert rattled_copper == before


def test_the_method_digest_holds_what_decides_the_result():
    potential = as_potential(EMT())
    base = SurrogateSettings()
    same = surrogate_method(potential, base.model_copy(update={"frame_interval": 3}))
    assert surrogate_method(potential, base) == same
    for change in ({"force_tolerance": 1e-4}, {"max_steps": 10}, {"force_criterion": "max"}):
        assert surrogate_method(potential, base.model_copy(update=change)) != same
    assert surrogate_method(dataclasses.replace(potential, digest="1" * 64), base) != same


def test_chgnet_relaxes_a_real_defect(cluster_crystal):
    vacancy = cluster_crystal.copy()
    vacancy.remove_sites([0])
    settings = SurrogateSettings(force_tolerance=5e-3, max_steps=200)
    (relaxed,) = relax([vacancy], load_potential("chgnet"), settings=settings)
    assert relaxed.converged
    assert relaxed.energy < relaxed.frames[0].energy
    assert mean_force(relaxed.frames[-1].forces) <= 5e-3
    assert relaxed.provenance.level_of_theory == "CHGNet 0.3.0"
