import dataclasses
import time

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.optimize import FIRE
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from defect_surrogate.errors import PotentialError
from defect_surrogate.relaxation import mean_force
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import load_potential, relax, relaxations, surrogate_method
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
    for change in (
        {"force_tolerance": 1e-4},
        {"max_steps": 10},
        {"force_criterion": "max"},
        {"merge_basins": True},
        {"optimiser": "FIRE"},
    ):
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


class Springs:
    """A force field of our protocol: atoms tied to sites 0.2 Å away, more stiffly in structures with more atoms.

    It raises at a batch with the structure ``breaks``, and ``error`` at one of more atoms than ``most``.
    """

    device = torch.device("cpu")

    def __init__(self, sites, *, breaks=None, most=10**9, error=None):
        self.sites, self.breaks, self.most, self.batches, self.first = sites, breaks, most, [], None
        self.error = error or RuntimeError("DefaultCPUAllocator: can't allocate memory")

    def indices(self, batch):
        """Places in the queue: names are given in its order."""
        self.first = min(batch.names) if self.first is None else self.first
        return [name - self.first for name in batch.names]

    def evaluate(self, batch):
        sizes = torch.bincount(batch.owners).tolist()
        self.batches.append(sizes)
        if len(batch.numbers) > self.most:
            raise self.error
        if self.breaks in self.indices(batch):
            raise ValueError("no such bond")
        away = batch.positions - torch.cat([self.sites[index] for index in self.indices(batch)])
        stiffness = torch.tensor(sizes).double().sqrt()[batch.owners]
        energies = torch.zeros(len(sizes)).double().index_add_(0, batch.owners, 0.5 * stiffness * away.square().sum(1))
        return energies, -stiffness[:, None] * away


def grid(count, seed):
    """Copper atoms 3 Å apart."""
    return Structure(
        Lattice.orthorhombic(3 * count, 9, 9 + 0.01 * seed),
        ["Cu"] * count,
        [[3.0 * i, 1, 1] for i in range(count)],
        coords_are_cartesian=True,
    )


def spring_potential(structures, **options):
    random = np.random.default_rng(0)
    sites = {
        i: torch.tensor(one.cart_coords + random.uniform(-0.2, 0.2, (len(one), 3))) for i, one in enumerate(structures)
    }
    field = Springs(sites, **options)
    return dataclasses.replace(as_potential(EMT()), force_field=field), field


def ends(structures, potential, **settings):
    return dict(relaxations(structures, potential, settings=SurrogateSettings(force_tolerance=1e-6, **settings)))


@pytest.mark.parametrize("optimiser", ["FIRE", "FIRE, then L-BFGS"])
@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_structures_of_all_sizes_end_in_their_own_minima_whoever_flies_beside_them(optimiser, at_once):
    structures = [grid(count, i) for i, count in enumerate((2, 5, 1, 3, 3, 8, 2, 13, 4, 1, 6, 2))]
    potential, field = spring_potential(structures)
    found = ends(structures, potential, optimiser=optimiser, batch_size=at_once)
    alone, _ = spring_potential(structures)
    assert sorted(found) == list(range(12))
    for i, one in found.items():
        assert one.converged
        np.testing.assert_allclose(one.structure.cart_coords, field.sites[i].numpy(), atol=2e-6)
        assert one.structure.lattice == structures[i].lattice
        assert one.provenance.evaluations == one.steps + 1
    expected = ends(structures, alone, optimiser=optimiser, batch_size=1)
    assert [found[i].steps for i in range(12)] == [expected[i].steps for i in range(12)]
    assert max(len(batch) for batch in field.batches) == min(at_once, 12)


def test_places_that_become_free_are_filled_and_the_queue_is_not_read_ahead():
    read = []

    def queue():
        for i in range(30):
            read.append(i)
            yield structures[i]

    structures = [grid(1 + i % 5, i) for i in range(30)]
    potential, field = spring_potential(structures)
    given = []
    for index, _ in relaxations(queue(), potential, settings=SurrogateSettings(force_tolerance=1e-6, batch_size=4)):
        given.append(index)
        assert len(read) - len(given) <= 4
    assert sorted(given) == list(range(30))
    assert all(len(batch) == 4 for batch in field.batches[:-60])


def test_what_does_not_fit_into_memory_waits_and_nothing_is_lost(caplog):
    structures = [grid(4, i) for i in range(10)]
    potential, field = spring_potential(structures, most=15)
    found = ends(structures, potential, batch_size=10)
    assert all(found[i].converged for i in range(10))
    plain, _ = spring_potential(structures)
    assert [found[i].steps for i in range(10)] == [one.steps for _, one in sorted(ends(structures, plain).items())]
    assert sum(sum(batch) > 15 for batch in field.batches) < 10
    assert "do not fit into memory" in caplog.text


def test_a_structure_too_large_for_the_memory_is_given_up_alone():
    structures = [grid(4, 0), grid(30, 1), grid(3, 2)]
    potential, _ = spring_potential(structures, most=20, error=torch.cuda.OutOfMemoryError("CUDA out of memory"))
    found = ends(structures, potential, batch_size=3)
    assert found[0].converged
    assert found[2].converged
    assert isinstance(found[1], PotentialError)
    assert "Cu30: 30 atoms do not fit into memory" in str(found[1])


def test_a_structure_that_breaks_the_force_field_takes_no_other_down():
    structures = [grid(3, i) for i in range(7)]
    potential, _ = spring_potential(structures, breaks=4)
    found = ends(structures, potential, batch_size=7)
    assert isinstance(found.pop(4), ValueError)
    assert all(one.converged for one in found.values())
    again, _ = spring_potential(structures, breaks=4)
    with pytest.raises(ValueError, match="no such bond"):
        relax(structures, again, settings=SurrogateSettings(batch_size=7))


def test_an_interrupt_is_no_broken_structure():
    structures = [grid(3, 0)]
    potential, field = spring_potential(structures)
    field.evaluate = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        ends(structures, potential)


def test_of_a_batch_only_what_diverges_diverges(rattled_copper):
    """NaN, an explosion and a lost atom in one batch."""
    structures = [grid(3, i) for i in range(5)]
    potential, field = spring_potential(structures)
    plain = field.evaluate

    def evaluate(batch):
        energies, forces = plain(batch)
        if len(field.batches) > 3:
            for name, harm in ((1, float("nan")), (3, 1e5)):
                if name in field.indices(batch):
                    forces[batch.owners == field.indices(batch).index(name)] *= harm
        return energies, forces

    field.evaluate = evaluate
    found = ends(structures, potential, batch_size=5)
    assert [found[i].reason for i in range(5)] == ["converged", "diverged", "converged", "diverged", "converged"]
    assert "not finite" in found[1].detail
    assert "exploded" in found[3].detail


def test_a_request_to_stop_ends_what_is_in_flight_and_another_process_goes_on_to_the_same_end(tmp_path):
    structures = [grid(2 + i, i) for i in range(5)]
    unbroken = ends(structures, spring_potential(structures)[0], batch_size=3)
    potential, field = spring_potential(structures)
    keep = {"unfinished": lambda index: tmp_path / str(index)}
    settings = SurrogateSettings(force_tolerance=1e-6, batch_size=3)
    stopped = dict(
        relaxations(structures, potential, settings=settings, stopped=lambda: len(field.batches) >= 9, **keep)
    )
    assert {one.reason for one in stopped.values()} == {"stopped"}
    assert not any(one.finished for one in stopped.values())
    assert sorted(int(file.name) for file in tmp_path.iterdir()) == sorted(stopped) == [0, 1, 2]
    again = dict(relaxations(structures, spring_potential(structures)[0], settings=settings, **keep))
    for i in range(5):
        assert again[i].steps == unbroken[i].steps
        assert again[i].energy == unbroken[i].energy
        np.testing.assert_array_equal(again[i].structure.cart_coords, unbroken[i].structure.cart_coords)
        np.testing.assert_array_equal(
            [frame.energy for frame in again[i].frames], [frame.energy for frame in unbroken[i].frames]
        )


def test_what_is_in_flight_is_written_now_and_then(tmp_path):
    structures = [grid(4, 0)]
    potential, field = spring_potential(structures)
    written = []

    def file(index):
        path = tmp_path / str(index)
        written.append((len(field.batches), path.exists() and path.stat().st_mtime_ns))
        return path

    settings = SurrogateSettings(force_tolerance=1e-6)
    list(relaxations(structures, potential, settings=settings, unfinished=file, keep_every=0.0))
    assert [batches for batches, _ in written] == [0, *range(1, len(field.batches))]


def test_a_full_disk_does_not_stop_relaxations(tmp_path, caplog):
    structures = [grid(4, 0)]
    (tmp_path / "file").touch()
    settings = SurrogateSettings(force_tolerance=1e-6)
    potential = spring_potential(structures)[0]
    keep = {"unfinished": lambda _: tmp_path / "file" / "below", "keep_every": 0.0}
    ((_, one),) = relaxations(structures, potential, settings=settings, **keep)
    assert one.converged
    assert "are not kept" in caplog.text


def test_the_fast_way_finds_the_minimum_of_fire_in_fewer_evaluations(rattled_copper):
    results = {}
    for optimiser in ("FIRE", "FIRE, then L-BFGS"):
        settings = SurrogateSettings(optimiser=optimiser)
        (results[optimiser],) = relax([rattled_copper], as_potential(EMT()), settings=settings)
    fire, fast = results.values()
    assert fast.converged
    assert fast.energy == pytest.approx(fire.energy, abs=1e-6)
    np.testing.assert_allclose(fast.structure.distance_matrix, fire.structure.distance_matrix, atol=1e-3)
    assert 2 * fast.provenance.evaluations < fire.provenance.evaluations


def rattled_coppers(count):
    atoms = bulk("Cu", cubic=True)
    found = []
    for seed in range(count):
        one = atoms.copy()
        one.rattle(0.1, seed=seed)
        found.append(AseAtomsAdaptor.get_structure(one))
    return found


@pytest.mark.parametrize("optimiser", ["FIRE", "FIRE, then L-BFGS"])
@pytest.mark.parametrize("at_once", [1, 5])
def test_what_falls_into_a_basin_already_reached_is_merged_if_asked(optimiser, at_once):
    starts = rattled_coppers(5)
    settings = SurrogateSettings(optimiser=optimiser, batch_size=at_once)
    whole = relax(starts, as_potential(EMT()), settings=settings)
    assert {one.reason for one in whole} == {"converged"}
    found = relax(starts, as_potential(EMT()), settings=settings.model_copy(update={"merge_basins": True}))
    reasons = [one.reason for one in found]
    assert "converged" in reasons
    assert "merged" in reasons
    assert reasons.count("merged") == 3 or at_once > 1
    for one, full in zip(found, whole, strict=True):
        if one.reason == "merged":
            assert one.finished
            assert one.rankable
            assert not one.converged
            assert 0 < one.energy - full.energy < 5e-3
            assert one.provenance.evaluations < full.provenance.evaluations
            assert one.frames[-1].energy == one.energy
            assert one.detail.endswith(f"after {one.steps} steps")
        else:
            assert (one.energy, one.steps) == (full.energy, full.steps)


def test_minima_of_one_energy_apart_from_each_other_are_not_merged():
    structures = [grid(4, 0)] * 4
    potential, _ = spring_potential(structures)
    found = ends(structures, potential, merge_basins=True, batch_size=1)
    assert {one.reason for one in found.values()} == {"converged"}


def test_it_is_merged_with_what_ended_elsewhere():
    *others, last = rattled_coppers(3)
    settings = SurrogateSettings(merge_basins=True)
    ended = relax(others, as_potential(EMT()), settings=settings)
    asked = []

    def elsewhere(index):
        asked.append(index)
        return ended if len(asked) == 1 else []

    ((_, merged),) = relaxations([last], as_potential(EMT()), settings=settings, elsewhere=elsewhere)
    assert merged.reason == "merged"
    asked.clear()
    ((_, whole),) = relaxations([last], as_potential(EMT()), settings=SurrogateSettings(), elsewhere=elsewhere)
    assert whole.converged
    assert asked == []


class DoubleWell(Calculator):
    """Two atoms: each in a parabola, the first between two wells along x, 0.05 eV deep at 0.3 Å."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        d = atoms.positions - [[3.0, 3, 3], [6, 6, 6]]
        x, depth, width = d[0, 0], 0.05, 0.3
        forces, energy = -4 * d, 2 * (d**2).sum() - 2 * x**2
        energy += depth * ((x / width) ** 2 - 1) ** 2
        forces[0, 0] = -4 * depth / width**2 * x * ((x / width) ** 2 - 1)
        self.results = {"energy": energy, "forces": forces}


def test_a_saddle_that_symmetry_keeps_is_no_basin():
    def start(x, y):
        return Structure(Lattice.cubic(12), ["Cu"] * 2, [[3 + x, 3 + y, 3], [6, 6 - y, 6]], coords_are_cartesian=True)

    starts = [start(0, 0.1), start(0.01, 0.05), start(-0.01, 0.05), start(0.2, 0.1), start(0.25, 0.0)]
    settings = SurrogateSettings(merge_basins=True, batch_size=1)
    found = relax(starts, as_potential(DoubleWell()), settings=settings)
    assert found[0].energy == pytest.approx(0.05, abs=1e-6)
    assert all(one.energy < 6e-3 for one in found[1:])


def test_what_waits_for_memory_is_kept_and_stopped_too(tmp_path):
    structures = [grid(4, i) for i in range(6)]
    unbroken = ends(structures, spring_potential(structures)[0])
    potential, field = spring_potential(structures)
    plain = field.evaluate

    def evaluate(batch):  # memory runs short in the middle
        field.most = 12 if len(field.batches) >= 5 else 10**9
        return plain(batch)

    field.evaluate = evaluate
    settings = SurrogateSettings(force_tolerance=1e-6, batch_size=6)
    keep = {"unfinished": lambda index: tmp_path / str(index)}
    stopped = dict(
        relaxations(structures, potential, settings=settings, stopped=lambda: len(field.batches) >= 9, **keep)
    )
    assert {one.reason for one in stopped.values()} == {"stopped"}
    assert sorted(stopped) == list(range(6))
    assert sorted(int(file.name) for file in tmp_path.iterdir()) == list(range(6))
    again = dict(relaxations(structures, spring_potential(structures)[0], settings=settings, **keep))
    assert all(again[i].steps == unbroken[i].steps and again[i].energy == unbroken[i].energy for i in range(6))


@pytest.mark.parametrize("where", ["queue", "consumer"])
def test_what_is_in_flight_is_kept_when_others_fail(tmp_path, where):
    structures = [grid(2, 0), grid(9, 1), grid(3, 2)]

    def queue():
        yield from structures
        raise OSError("no space left on device")

    potential, _ = spring_potential(structures)
    settings = SurrogateSettings(force_tolerance=1e-6, batch_size=2)
    running = relaxations(
        queue() if where == "queue" else structures,
        potential,
        settings=settings,
        unfinished=lambda i: tmp_path / str(i),
    )
    if where == "queue":
        with pytest.raises(OSError, match="no space"):
            list(running)
    else:
        next(running)
        running.close()
    assert any(tmp_path.iterdir())


def test_what_the_force_field_does_not_know_and_what_has_no_atoms_is_refused_alone():
    strange = grid(3, 1)
    strange.replace(1, "Xe")
    structures = [grid(2, 0), strange, Structure(Lattice.cubic(5), [], []), grid(4, 3)]
    potential, _ = spring_potential([grid(2, 0), grid(4, 3)])
    potential.force_field.sites = {0: potential.force_field.sites[0], 3: potential.force_field.sites[1]}
    found = ends(structures, potential, batch_size=4)
    assert found[0].converged
    assert found[3].converged
    assert "test does not know Xe" in str(found[1])
    assert "without atoms" in str(found[2])


def test_time_is_shared_out_with_nothing_left(rattled_copper):
    began = time.perf_counter()
    found = relax([rattled_copper] * 3, as_potential(EMT()), settings=SurrogateSettings(max_steps=1, batch_size=2))
    assert [one.steps for one in found] == [1, 1, 1]
    assert all(one.provenance.seconds > 0 for one in found)
    assert sum(one.provenance.seconds for one in found) <= time.perf_counter() - began
