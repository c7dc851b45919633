"""The ionic loop: each optimiser, each way to end, what may move, and restarts."""

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixScaled
from ase.io import read
from tblite.ase import TBLite

from defect_surrogate.vasp_xtb.relax import Ending, requested_stop

WriteInputs = Callable[..., Path]
RunIn = Callable[[Path], str]
ACCURACY = "reached required accuracy"


def frames(directory: Path) -> list[Atoms]:
    return read(directory / "vasprun.xml", index=":")


@pytest.mark.parametrize("ibrion", [1, 2, 3])
def test_each_ibrion_ends_in_the_minimum(water: Atoms, write_inputs: WriteInputs, run_in: RunIn, ibrion: int) -> None:
    directory = write_inputs(water, incar=f"NSW = 100; IBRION = {ibrion}; EDIFFG = -0.01")
    assert ACCURACY in run_in(directory)
    last = frames(directory)[-1]
    assert np.linalg.norm(last.get_forces(), axis=1).max() < 0.01
    assert last.get_distance(0, 1, mic=True) == pytest.approx(0.9595, abs=2e-3)
    assert last.get_potential_energy() == pytest.approx(-156.97762, abs=1e-4)


@pytest.mark.parametrize("incar", ["", "NSW = 5; IBRION = -1", "IBRION = 2"])
def test_single_points_are_one_step(water: Atoms, write_inputs: WriteInputs, run_in: RunIn, incar: str) -> None:
    directory = write_inputs(water, incar=incar)
    assert ACCURACY not in run_in(directory)
    (only,) = frames(directory)
    np.testing.assert_allclose(only.positions, water.positions, atol=1e-12)


def test_nsw_counts_every_evaluation(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 4; IBRION = 2; EDIFFG = -1E-6")
    assert ACCURACY not in run_in(directory)
    assert len(frames(directory)) == 4


def test_ediffg_zero_does_all_steps(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 7; IBRION = 1; EDIFFG = 0")
    run_in(directory)
    assert len(frames(directory)) == 7


def test_positive_ediffg_is_the_energy_change(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 100; IBRION = 1; EDIFFG = 1E-2")
    assert ACCURACY in run_in(directory)
    energies = [frame.get_potential_energy() for frame in frames(directory)]
    changes = np.abs(np.diff(energies))
    assert changes[-1] < 1e-2 <= changes[:-1].min()


def test_a_smaller_potim_is_more_careful(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    moves = {}
    for potim in (0.5, 0.1):
        directory = write_inputs(
            water, incar=f"NSW = 2; IBRION = 2; POTIM = {potim}; EDIFFG = -1E-6", folder=str(potim)
        )
        run_in(directory)
        first, second = frames(directory)
        moves[potim] = np.abs(second.positions - first.positions).max()
    assert moves[0.1] == pytest.approx(moves[0.5] / 5, rel=1e-3)


def test_selective_dynamics(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    water.set_constraint([FixAtoms([0]), FixScaled(1, [False, True, False])])
    directory = write_inputs(water, incar="NSW = 60; IBRION = 2; EDIFFG = -0.01")
    assert "F   F   F" in (directory / "POSCAR").read_text()
    assert ACCURACY in run_in(directory)
    relaxed = read(directory / "CONTCAR", format="vasp")
    np.testing.assert_allclose(relaxed.positions[0], water.positions[0], atol=1e-12)
    assert relaxed.positions[1, 1] == pytest.approx(water.positions[1, 1], abs=1e-12)
    assert np.abs(relaxed.positions[2] - water.positions[2]).max() > 1e-3
    assert len(relaxed.constraints) == 2


def test_all_atoms_fixed_is_converged_at_once(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    water.set_constraint(FixAtoms([0, 1, 2]))
    directory = write_inputs(water, incar="NSW = 60; IBRION = 2; EDIFFG = -0.01")
    assert ACCURACY in run_in(directory)
    assert len(frames(directory)) == 1


def test_isif_3_relaxes_the_cell(write_inputs: WriteInputs, run_in: RunIn) -> None:
    crystal = bulk("ZnS", "zincblende", a=5.9, cubic=True)
    crystal = crystal[np.argsort(crystal.numbers)[::-1]]
    crystal.set_cell(crystal.cell * np.array([[1.0], [1.0], [1.01]]), scale_atoms=True)
    directory = write_inputs(crystal, incar="NSW = 80; IBRION = 2; EDIFFG = -0.02; ISIF = 3; XTB_MIN_WIDTH = 5")
    assert ACCURACY in run_in(directory)
    relaxed = read(directory / "CONTCAR", format="vasp")
    a, b, c = relaxed.cell.lengths()
    assert a == pytest.approx(b, abs=1e-2)
    assert a == pytest.approx(c, abs=2e-2)
    relaxed.calc = TBLite(method="GFN1-xTB", accuracy=0.01, verbosity=0)
    assert np.abs(relaxed.get_stress()).max() * relaxed.get_volume() / len(relaxed) < 0.02
    assert 1 < len(frames(directory)) < 30


@pytest.mark.parametrize(("isym", "angle"), [(2, 180.0), (0, 106.0)])
def test_symmetry_of_the_start_is_kept_unless_isym_is_zero(
    write_inputs: WriteInputs, run_in: RunIn, isym: int, angle: float
) -> None:
    """Linear water is a saddle point, which symmetry alone holds; the start is off it by less than SYMPREC."""
    water = Atoms("OH2", positions=[[6, 6, 6], [6.96, 6.01, 6], [5.04, 6, 6]], cell=[12.0] * 3, pbc=True)
    directory = write_inputs(water, incar=f"NSW = 60; IBRION = 2; EDIFFG = -0.02; SYMPREC = 0.05; ISYM = {isym}")
    assert ACCURACY in run_in(directory)
    assert frames(directory)[-1].get_angle(1, 0, 2, mic=True) == pytest.approx(angle, abs=2)


def test_a_crystal_whose_positions_are_rounded_keeps_its_space_group(write_inputs: WriteInputs, run_in: RunIn) -> None:
    """Wurtzite: thirds with six decimals. Each ionic step is another structure, so that none is paid for twice."""
    crystal = bulk("ZnS", "wurtzite", a=3.9, c=6.4)
    crystal = crystal[np.argsort(crystal.numbers)[::-1]]
    crystal.set_scaled_positions(crystal.get_scaled_positions().round(6))
    directory = write_inputs(crystal, incar="NSW = 80; IBRION = 2; EDIFFG = -0.02; ISIF = 3; XTB_MIN_WIDTH = 3")
    assert ACCURACY in run_in(directory)
    steps = frames(directory)
    relaxed = steps[-1]
    assert np.abs(relaxed.cell - crystal.cell).max() > 0.01
    cell = (relaxed.cell.array, relaxed.get_scaled_positions(), relaxed.numbers)
    assert spglib.get_spacegroup(cell, symprec=1e-5) == "P6_3mc (186)"
    moves = [
        max(np.abs(one.positions - other.positions).max(), np.abs(one.cell - other.cell).max())
        for one, other in pairwise(steps)
    ]
    assert min(moves) > 1e-7


def test_isif_2_keeps_the_cell(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 5; IBRION = 1; EDIFFG = -1E-6; ISIF = 2")
    run_in(directory)
    assert all((frame.cell == water.cell).all() for frame in frames(directory))


def test_restart_from_contcar_continues_exactly(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 3; IBRION = 1; EDIFFG = -1E-6")
    run_in(directory)
    last = frames(directory)[-1]
    shutil.copy(directory / "CONTCAR", directory / "POSCAR")
    run_in(directory)
    first = frames(directory)[0]
    np.testing.assert_allclose(first.positions, last.positions, atol=1e-13)
    assert first.get_potential_energy() == pytest.approx(last.get_potential_energy(), abs=1e-7)
    assert (directory / "CONTCAR").read_text().splitlines()[0].count("vasp-xtb") == 1


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("LSTOP = .TRUE.", Ending.LSTOP),
        ("LABORT = T\nLSTOP = T", Ending.LABORT),
        ("LSTOP = .FALSE.", None),
        ("LSTOP = what", None),
        ("", None),
    ],
)
def test_what_stopcar_asks_for(tmp_path: Path, text: str, ending: Ending | None) -> None:
    assert requested_stop(tmp_path) is None
    (tmp_path / "STOPCAR").write_text(text)
    assert requested_stop(tmp_path) is ending


def test_lstop_ends_after_the_ionic_step(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 50; IBRION = 2; EDIFFG = -1E-6")
    (directory / "STOPCAR").write_text("LSTOP = .TRUE.\n")
    assert "soft stop encountered!  aborting job" in run_in(directory)
    assert len(frames(directory)) == 1
    assert not (directory / "STOPCAR").exists()


def test_labort_ends_before_the_next_evaluation(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 50; IBRION = 2; EDIFFG = -1E-6")
    (directory / "STOPCAR").write_text("LABORT = .TRUE.\n")
    (directory / "STOPCAR").chmod(0o400)
    assert "hard stop encountered!  aborting job" in run_in(directory)
    assert (directory / "STOPCAR").exists()
    assert "TOTAL-FORCE" not in (directory / "OUTCAR").read_text()


def test_reaching_nelm_is_told_and_goes_on(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 3; IBRION = 1; EDIFFG = -1E-6; NELM = 3")
    said = run_in(directory)
    assert said.count("self-consistency was not achieved in the given number of steps (NELM = 3)") == 3
    assert len(frames(directory)) == 3


def test_a_zero_ediffg_goes_to_the_noise_of_the_forces_and_ends(
    water: Atoms, write_inputs: WriteInputs, run_in: RunIn
) -> None:
    directory = write_inputs(water, incar="NSW = 400; IBRION = 1; EDIFFG = 0; EDIFF = 1E-8")
    run_in(directory)
    last = frames(directory)[-1]
    assert np.isfinite(last.get_forces()).all()
    assert np.linalg.norm(last.get_forces(), axis=1).max() < 1e-6
