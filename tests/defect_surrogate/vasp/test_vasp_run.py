"""Real relaxations of water, and executables that break in the ways executables break."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from tblite.ase import TBLite

from defect_surrogate.errors import (
    ReferenceDivergedError,
    ReferenceInputError,
    ReferenceInterruptedError,
    ReferenceRunError,
)
from defect_surrogate.relaxation import max_force
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import parse_run, reference_method, relax_with_vasp

REAL = Path(sys.executable).parent / "vasp-xtb"
OUTPUTS = ("vasprun.xml", "OUTCAR", "OSZICAR", "CONTCAR")
ENDLESS = {"NSW": 100000, "POTIM": 1e-5}
"""Steps of some 1e-6 Å, so that the minimum is far."""
FIRST_TIME = "if [ ! -f seen ]; then touch seen; {then}; fi\n"


def _method(structure, **changes):
    return reference_method(structure, ReferenceSettings(**changes), cell="defect")


def _copy(directory: Path) -> str:
    return f"cp {' '.join(str(directory / name) for name in OUTPUTS)} .\n"


def test_water_relaxes_to_the_minimum_of_gfn1(water, finished):
    _, relaxation = finished
    assert (relaxation.level, relaxation.converged, relaxation.reason) == ("reference", True, "converged")
    assert relaxation.structure.species == water.species
    assert relaxation.energy < relaxation.frames[0].energy
    assert max_force(relaxation.frames[-1].forces) <= 0.01
    assert relaxation.structure.get_distance(0, 1) == pytest.approx(0.96, abs=0.02)
    assert relaxation.structure.get_angle(0, 1, 2) == pytest.approx(106, abs=3)
    np.testing.assert_allclose(relaxation.frames[0].structure.frac_coords, water.frac_coords, atol=1e-10)
    assert relaxation.provenance.method == _method(water).digest
    assert relaxation.provenance.corrections == ()
    assert 0 < relaxation.provenance.seconds < 60


def test_frames_in_the_order_of_the_start_have_the_energy_and_forces_of_tblite(finished):
    for frame in (finished[1].frames[0], finished[1].frames[-1]):
        atoms = AseAtomsAdaptor.get_atoms(frame.structure, msonable=False)
        atoms.calc = TBLite(method="GFN1-xTB", accuracy=0.01, verbosity=0)
        assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-5)


def test_sites_come_back_in_the_order_they_were_given(tmp_path):
    """H, O, C, H: grouped as H, H, O, C, an order that is not its own inverse."""
    cartesian = [[5.0, 5.95, 4.42], [5.0, 5.0, 6.21], [5.0, 5.0, 5.0], [5.0, 4.05, 4.42]]
    formaldehyde = Structure(Lattice.cubic(10), ["H", "O", "C", "H"], cartesian, coords_are_cartesian=True)
    method = _method(formaldehyde, defect_incar={"NSW": 0})
    frame = relax_with_vasp(formaldehyde, method, directory=tmp_path).frames[0]
    assert frame.structure.species == formaldehyde.species
    np.testing.assert_allclose(frame.structure.cart_coords, cartesian, atol=1e-8)
    atoms = AseAtomsAdaptor.get_atoms(formaldehyde, msonable=False)
    atoms.calc = TBLite(method="GFN1-xTB", accuracy=0.01, verbosity=0)
    np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-5)


def test_host_cell_may_change_and_its_stress_is_that_of_tblite(cluster_crystal, tmp_path):
    method = reference_method(cluster_crystal, ReferenceSettings(host_incar={"NSW": 3}), cell="host")
    relaxation = relax_with_vasp(cluster_crystal, method, directory=tmp_path)
    first, last = relaxation.frames[0], relaxation.frames[-1]
    assert relaxation.reason == "step limit"
    assert abs(last.structure.volume - first.structure.volume) > 1e-3
    atoms = AseAtomsAdaptor.get_atoms(last.structure, msonable=False)
    atoms.calc = TBLite(method="GFN1-xTB", accuracy=0.01, verbosity=0)
    np.testing.assert_allclose(last.stress, atoms.get_stress(voigt=False), atol=1e-6)
    assert np.abs(last.stress).max() > 1e-5


def test_steps_used_up_are_a_result_and_not_corrected(water, tmp_path):
    relaxation = relax_with_vasp(water, _method(water, defect_incar={"NSW": 2}), directory=tmp_path)
    assert (relaxation.steps, relaxation.converged, relaxation.reason) == (2, False, "step limit")
    assert relaxation.provenance.corrections == ()
    assert not list(tmp_path.glob("error.*"))


def test_second_run_in_a_directory_is_not_given_the_files_of_the_first(water, tmp_path):
    first = relax_with_vasp(water, _method(water, defect_incar={"NSW": 0}), directory=tmp_path)
    second = relax_with_vasp(water, _method(water, defect_incar={"NSW": 2}), directory=tmp_path)
    assert (first.steps, second.steps) == (1, 2)


def test_charged_cell_is_another_energy(water, tmp_path):
    settings = ReferenceSettings(defect_incar={"NSW": 0})
    energies = [
        relax_with_vasp(
            water, reference_method(water, settings, cell="defect", charge=charge), directory=tmp_path / str(charge)
        ).energy
        for charge in (0, 1)
    ]
    assert energies[1] - energies[0] > 5  # water's ionisation energy is 12.6 eV


def test_cell_too_small_is_the_users_to_mend(tmp_path):
    cell = Structure(Lattice.cubic(6.5), ["Cd", "Te"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    with pytest.raises(ReferenceInputError, match=r"exit code 1.*XTB_MIN_WIDTH|exit code 1.*6\.5"):
        relax_with_vasp(cell, _method(cell), directory=tmp_path)


def test_missing_executable_is_the_users_to_mend(water, tmp_path):
    with pytest.raises(ReferenceInputError, match="vasp-xtb"):
        relax_with_vasp(water, _method(water, vasp_cmd=[str(tmp_path / "vasp-xtb")]), directory=tmp_path / "run")


def test_incar_that_cannot_be_read_is_the_users_to_mend(water, tmp_path, fake_executable):
    command = fake_executable("vasp-xtb", "echo ' Error reading item NSW from file INCAR.'; exit 1")
    with pytest.raises(ReferenceInputError, match="Error reading item NSW"):
        relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")


def test_broken_executable_names_directory_exit_code_and_last_words(water, tmp_path, fake_executable):
    command = fake_executable("vasp-xtb", "echo 'the disk is on fire'; echo 'help' >&2; exit 3")
    with pytest.raises(ReferenceInterruptedError, match=r"run: .*vasp-xtb: exit code 3; .*the disk is on fire.*help"):
        relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")


def test_nonzero_exit_is_not_believed_however_good_the_files(water, finished, tmp_path, fake_executable):
    command = fake_executable("vasp-xtb", _copy(finished[0]) + "exit 2")
    with pytest.raises(ReferenceInterruptedError, match="exit code 2"):
        relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")


@pytest.mark.parametrize(
    "ending", ["kill -9 $$", "kill -15 $$; sleep 9", "exit 137"], ids=["SIGKILL", "SIGTERM", "launcher"]
)
def test_killed_executable_is_neither_corrected_nor_believed(water, finished, tmp_path, fake_executable, ending):
    words = "echo ' ZBRENT: fatal error in bracketing'\n"
    command = fake_executable("vasp-xtb", "echo ran >> runs\n" + _copy(finished[0]) + words + ending)
    started = time.monotonic()
    with pytest.raises(ReferenceInterruptedError, match=r"killed by SIG(KILL|TERM)"):
        relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")
    assert time.monotonic() - started < 5
    assert (tmp_path / "run" / "runs").read_text() == "ran\n"


def test_vasp_xtb_killed_in_the_middle_of_its_work_is_reported_at_once(water, tmp_path, fake_executable):
    wait = "while ! grep -q 'F=' OSZICAR 2>/dev/null; do sleep 0.05; done"
    command = fake_executable("vasp-xtb", f"{REAL} & {wait}; kill -9 $!; wait $!; exit $?")
    method = _method(water, vasp_cmd=command, defect_incar=ENDLESS)
    with pytest.raises(ReferenceInterruptedError, match="killed by SIGKILL"):
        relax_with_vasp(water, method, directory=tmp_path / "run")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("head -c 5000 vasprun.xml > x; mv x vasprun.xml", "VasprunXMLValidator"),
        ("rm vasprun.xml", "VasprunXMLValidator"),
        ("rm OUTCAR", "VaspFilesValidator"),
        ("sed -i 's|<v>  *[-0-9.]* *[-0-9.]* *[-0-9.]* *</v>|<v> NaN NaN NaN </v>|' vasprun.xml", "not finite"),
    ],
)
def test_damaged_output_is_not_believed(water, finished, tmp_path, fake_executable, damage, message):
    command = fake_executable("vasp-xtb", _copy(finished[0]) + damage)
    with pytest.raises(ReferenceRunError, match=message):
        relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")


def test_correction_is_made_and_recorded(water, tmp_path, fake_executable):
    failure = "echo ' ZBRENT: fatal error in bracketing'; exit 1"
    command = fake_executable("vasp-xtb", FIRST_TIME.format(then=failure) + f"exec {REAL}")
    relaxation = relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")
    assert relaxation.converged
    assert len(relaxation.provenance.corrections) == 1
    assert relaxation.provenance.corrections[0].startswith("VaspErrorHandler: zbrent → INCAR: ")
    assert relaxation.provenance.method == _method(water).digest


def test_correction_that_changes_the_energy_surface_is_refused(water, tmp_path, fake_executable):
    failure = "sed -i 's/SIGMA = 0.05/SIGMA = 0.2/' INCAR; echo ' ZBRENT: fatal error in bracketing'; exit 1"
    command = fake_executable("vasp-xtb", FIRST_TIME.format(then=failure) + f"exec {REAL}")
    with pytest.raises(ReferenceRunError, match=r"zbrent.*'SIGMA': 0\.2.*cannot be compared"):
        relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")


def test_corrections_end(water, tmp_path, fake_executable):
    command = fake_executable("vasp-xtb", "echo run >> runs; echo ' ZBRENT: fatal error in bracketing'; exit 1")
    with pytest.raises(ReferenceRunError, match=r"MaxCorrections|NonRecoverable"):
        relax_with_vasp(water, _method(water, vasp_cmd=command, max_errors=2), directory=tmp_path / "run")
    assert (tmp_path / "run" / "runs").read_text() == "run\n" * 2


def test_a_fall_without_a_bound_is_ended_at_once(water, tmp_path, fake_executable):
    falls = 'for e in -10 -900 -901 -902; do echo " 1 F= $e E0= $e  d E =-.1E+00" >> OSZICAR; done; exec sleep 60'
    command = fake_executable("vasp-xtb", falls)
    started = time.monotonic()
    with pytest.raises(ReferenceDivergedError, match="DivergedHandler: energy fell without a bound"):
        relax_with_vasp(water, _method(water, vasp_cmd=command, walltime=100), directory=tmp_path / "run")
    assert time.monotonic() - started < 30


def test_what_custodian_cannot_mend_is_named_and_comes_back_from_a_worker(water, tmp_path, fake_executable):
    """custodian's own error cannot be unpickled, and with tblib, which Dask installs, causes and contexts are pickled too."""
    command = fake_executable("vasp-xtb", f"{REAL}; echo ' internal error in SET_CORE_WF'")
    with pytest.raises(
        ReferenceRunError, match="NonRecoverableError: VaspErrorHandler: set_core_wf → nothing"
    ) as caught:
        relax_with_vasp(water, _method(water, vasp_cmd=command, defect_incar={"NSW": 0}), directory=tmp_path / "run")
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (ReferenceRunError, str(caught.value))


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(water, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ReferenceRunError, match="file/run: NotADirectoryError"):
        relax_with_vasp(water, _method(water), directory=tmp_path / "file" / "run")


def test_walltime_stops_the_executable_and_is_a_result(water, tmp_path, monkeypatch):
    monkeypatch.setenv("CUSTODIAN_WALLTIME_START", "Mon Jan 01 00:00:00 UTC 2001")
    method = replace(_method(water, defect_incar=ENDLESS), walltime=10)
    started = time.monotonic()
    relaxation = relax_with_vasp(water, method, directory=tmp_path)
    assert 5 < time.monotonic() - started < 60
    assert (relaxation.converged, relaxation.reason) == (False, "time limit")
    assert "walltime 10 s" in relaxation.detail
    assert relaxation.steps > 10
    assert "CUSTODIAN_WALLTIME_START" not in os.environ


def test_vasp_runs_through_the_same_path(water, finished_vasp, vasp_library, tmp_path, fake_executable):
    command = fake_executable("vasp_gam", "echo $OMP_NUM_THREADS > threads\n" + _copy(finished_vasp))
    relaxation = relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")
    assert relaxation.provenance.level_of_theory == "HSE06 (VASP)" == _method(water, vasp_cmd=command).level_of_theory
    assert relaxation.converged
    assert (tmp_path / "run" / "threads").read_text().strip() == os.environ.get("OMP_NUM_THREADS", "")


def test_stand_in_under_the_name_of_vasp_is_refused(water, finished, vasp_library, tmp_path, fake_executable):
    command = fake_executable("vasp_gam", _copy(finished[0]))
    with pytest.raises(ReferenceInputError, match=r"was to be VASP, but the output is of GFN1-xTB \(vasp-xtb"):
        relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")


def test_vasp_under_the_name_of_the_stand_in_is_refused(water, finished_vasp, tmp_path, fake_executable):
    command = fake_executable("vasp-xtb", _copy(finished_vasp))
    with pytest.raises(ReferenceInputError, match=r"was to be vasp-xtb .*, but the output is of HSE06 \(VASP\)"):
        relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")


def test_another_version_of_the_stand_in_is_refused(water, finished, tmp_path, fake_executable):
    change = "sed -i 's/tblite 0.8.0/tblite 0.3.0/' vasprun.xml"
    command = fake_executable("vasp-xtb", _copy(finished[0]) + change)
    with pytest.raises(ReferenceInputError, match=r"was to be vasp-xtb .* tblite 0\.8.*'0\.3\.0'"):
        relax_with_vasp(water, _method(water, vasp_cmd=command), directory=tmp_path / "run")


def test_output_of_other_atoms_is_refused(water, finished, tmp_path, fake_executable):
    acid = water.copy()
    acid.replace(1, "S")
    command = fake_executable("vasp-xtb", _copy(finished[0]))
    with pytest.raises(ReferenceRunError, match=r"POSCAR had the atoms \['H', 'H', 'S'\]"):
        relax_with_vasp(acid, _method(acid, vasp_cmd=command), directory=tmp_path / "run")


def test_changed_cell_is_refused_where_it_was_to_stay(water, finished, tmp_path, fake_executable):
    large = Structure(Lattice.cubic(10.5), water.species, water.frac_coords)
    command = fake_executable("vasp-xtb", _copy(finished[0]))
    with pytest.raises(ReferenceRunError, match="the cell was to stay"):
        relax_with_vasp(large, _method(large, vasp_cmd=command), directory=tmp_path / "run")


def test_executable_ends_with_a_killed_worker(water, tmp_path):
    script = (
        "import sys, pickle; from pathlib import Path; from defect_surrogate.vasp import relax_with_vasp\n"
        "structure, method = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "relax_with_vasp(structure, method, directory=Path(sys.argv[2]))\n"
    )
    method = _method(water, defect_incar=ENDLESS)
    (tmp_path / "task").write_bytes(pickle.dumps((water, method)))
    worker = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "task"), str(tmp_path / "run")])
    oszicar = tmp_path / "run" / "OSZICAR"
    deadline = time.monotonic() + 60
    while not (oszicar.is_file() and "F=" in oszicar.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(timeout=10)
    time.sleep(1.0)
    size = oszicar.stat().st_size
    time.sleep(1.5)
    assert oszicar.stat().st_size == size
    with pytest.raises(ReferenceRunError, match="truncated"):
        parse_run(Path(shutil.copytree(tmp_path / "run", tmp_path / "left")))
