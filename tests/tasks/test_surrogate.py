"""The surrogate task: archive first, then work, then the archive."""

import dataclasses
import functools
import multiprocessing
import os
import signal
import time

import pytest
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure

from defect_surrogate.archive import Archive
from defect_surrogate.errors import PotentialError, StoppedError
from defect_surrogate.relaxation import Unit
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import cell_method, surrogate_method
from tasks import surrogate
from tasks.surrogate import relax_cell_units, relax_surrogate_units
from tests.potentials import as_potential


class CannotBeCalled(Calculator):
    """Of nothing."""

    implemented_properties = ("energy", "forces")

    def calculate(self, *_, **__):
        pytest.fail("relaxed again")


SETTINGS = SurrogateSettings(max_steps=2)


@pytest.fixture
def unit(cluster_crystal):
    return Unit("CdTe", "v_Cd_0", "Dimer", "surrogate", cluster_crystal, "method")


def test_result_is_archived(unit, tmp_path):
    relax_surrogate_units.fn((unit,), tmp_path, SETTINGS)
    archive = Archive(tmp_path)
    relaxation = archive.find(unit)
    assert (relaxation.steps, relaxation.frames) == (2, ())
    assert len(archive.read_frames(unit)) == 2
    assert archive.attempts() == ()


def test_archived_unit_is_not_relaxed_again(unit, tmp_path, monkeypatch):
    relax_surrogate_units.fn((unit,), tmp_path, SETTINGS)
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(CannotBeCalled()))
    relax_surrogate_units.fn((unit,), tmp_path, SETTINGS)


def test_force_field_that_cannot_be_loaded_leaves_no_unit(unit, tmp_path):
    with pytest.raises(PotentialError, match="nonesuch"):
        relax_surrogate_units.fn((unit,), tmp_path, SurrogateSettings(potential="nonesuch"))
    archive = Archive(tmp_path)
    assert archive.find(unit) is None
    assert archive.attempts() == ()


class Moody(EMT):
    """EMT that does not know what to do with five atoms, and takes its time if asked to."""

    def __init__(self, pause=0.0):
        super().__init__()
        self.pause, self.calls = pause, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        self.calls += 1
        time.sleep(self.pause)
        if len(atoms) == 5:
            raise ValueError("five")
        super().calculate(atoms, properties, system_changes)


def copper(count, label):
    """A row of copper atoms 0.3 Å off their distance."""
    positions = [[2.2 * i, 5, 5] for i in range(count)]
    structure = Structure(
        Lattice.orthorhombic(2.5 * count + 4, 10, 10), ["Cu"] * count, positions, coords_are_cartesian=True
    )
    return Unit("Cu", "v_Cu_0", label, "surrogate", structure, "method")


def test_units_of_a_group_are_archived_though_one_of_them_breaks(tmp_path, monkeypatch):
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(Moody()))
    units = tuple(copper(count, f"Rattled_{count}") for count in (4, 5, 6, 7))
    settings = SurrogateSettings(force_tolerance=1e-2, batch_size=3)
    with pytest.raises(ValueError, match="five"):
        relax_surrogate_units.fn(units, tmp_path, settings)
    archive = Archive(tmp_path)
    assert [archive.find(unit) is not None for unit in units] == [True, False, True, True]
    (attempt,) = archive.attempts()
    assert attempt["unit"] == units[1].name
    assert "five" in attempt["error"]
    assert archive.running() == ()


def test_a_request_to_stop_keeps_what_is_on_its_way(tmp_path, monkeypatch):
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(Moody()))
    unit, archive = copper(6, "Dimer"), Archive(tmp_path)
    (tmp_path / "STOP").touch()
    with pytest.raises(StoppedError, match="Dimer/surrogate: stopped after 0 steps"):
        relax_surrogate_units.fn((unit,), tmp_path, SurrogateSettings())
    assert archive.find(unit) is None
    assert archive.unfinished(unit).is_file()
    (archive.root / "STOP").unlink()
    relax_surrogate_units.fn((unit,), tmp_path, SurrogateSettings())
    assert archive.find(unit).converged
    assert not archive.unfinished(unit).exists()


def relax_slowly(units, root):
    """What the killed process does."""
    surrogate._potential = lambda _: as_potential(Moody(pause=0.02))
    surrogate.relaxations = functools.partial(surrogate.relaxations, keep_every=0.0)
    relax_surrogate_units.fn(units, root, SurrogateSettings(batch_size=2))


def test_a_worker_killed_in_the_middle_of_a_batch_costs_what_it_had_not_written(tmp_path, monkeypatch):
    units = (copper(6, "Dimer"), copper(4, "Rattled"), copper(7, "Unperturbed"))
    whole, broken = Archive(tmp_path / "whole"), Archive(tmp_path / "broken")
    unbroken = Moody()
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(unbroken))
    relax_surrogate_units.fn(units, whole.root, SurrogateSettings(batch_size=2))
    process = multiprocessing.get_context("spawn").Process(target=relax_slowly, args=(units, broken.root))
    process.start()
    deadline = time.monotonic() + 120
    while not (broken.find(units[1]) and broken.unfinished(units[2]).is_file()):
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    again = Moody()
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(again))
    relax_surrogate_units.fn(units, broken.root, SurrogateSettings(batch_size=2))
    assert 0 < again.calls < unbroken.calls - 10
    for unit in units:
        assert broken.find(unit).energy == whole.find(unit).energy
        assert broken.find(unit).steps == whole.find(unit).steps
        assert broken.find(unit).structure == whole.find(unit).structure
        assert len(broken.read_frames(unit)) == len(whole.read_frames(unit))
    assert broken.attempts() == ()
    assert not [path for path in (broken.root / "unfinished").rglob("*") if path.is_file()]


def test_a_relaxation_is_merged_with_one_of_its_defect_that_another_worker_archived(tmp_path, monkeypatch):
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(Moody()))
    settings = SurrogateSettings(merge_basins=True)
    first = copper(6, "Unperturbed")
    method = surrogate_method(as_potential(Moody()), settings)

    def unit(shift, **changes):
        moved = first.structure.copy()
        moved.translate_sites([2], [shift, 0, 0], frac_coords=False)
        return dataclasses.replace(first, label=f"Rattled_{shift}", structure=moved, **({"method": method} | changes))

    units = [unit(0.0), unit(0.03), unit(0.05), unit(0.05, defect="v_Cu_1"), unit(0.05, method="another")]
    for one in units:
        relax_surrogate_units.fn((one,), tmp_path, settings)
    archive = Archive(tmp_path)
    assert [archive.find(one).reason for one in units] == ["converged", "converged", "merged", "converged", "converged"]


def copper_cell(length):
    cubic = Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), ["Cu"], [[0, 0, 0]])
    return Unit("Cu-1", "bulk", "Host", "surrogate", cubic, cell_method(as_potential(EMT())))


def test_cells_are_relaxed_once_and_archived(tmp_path, monkeypatch):
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(EMT()))
    units = (copper_cell(3.7), copper_cell(3.5))
    relax_cell_units.fn(units, tmp_path, SETTINGS)
    archive = Archive(tmp_path)
    for unit in units:
        assert archive.find(unit).structure.lattice.abc == pytest.approx((3.594,) * 3, abs=0.01)
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(CannotBeCalled()))
    relax_cell_units.fn(units, tmp_path, SETTINGS)


def test_a_request_to_stop_leaves_cells_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(EMT()))
    archive = Archive(tmp_path)
    (archive.root / "STOP").touch()
    unit = copper_cell(3.7)
    with pytest.raises(StoppedError, match="Cu-1/bulk/Host/surrogate"):
        relax_cell_units.fn((unit,), tmp_path, SETTINGS)
    assert archive.find(unit) is None
