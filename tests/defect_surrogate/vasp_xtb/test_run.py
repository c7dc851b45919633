"""A whole run as custodian, ShakeNBreak and people use it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.io import read
from custodian import Custodian
from custodian.vasp.handlers import (
    DriftErrorHandler,
    FrozenJobErrorHandler,
    IncorrectSmearingHandler,
    LargeSigmaHandler,
    MeshSymmetryErrorHandler,
    NonConvergingErrorHandler,
    PositiveEnergyErrorHandler,
    PotimErrorHandler,
    StdErrHandler,
    UnconvergedErrorHandler,
    VaspErrorHandler,
)
from custodian.vasp.jobs import VaspJob
from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator
from shakenbreak.io import parse_energies

WriteInputs = Callable[..., Path]
RunIn = Callable[[Path], str]
HANDLERS = (
    VaspErrorHandler,
    UnconvergedErrorHandler,
    NonConvergingErrorHandler,
    DriftErrorHandler,
    PositiveEnergyErrorHandler,
    PotimErrorHandler,
    LargeSigmaHandler,
    IncorrectSmearingHandler,
    MeshSymmetryErrorHandler,
    StdErrHandler,
    FrozenJobErrorHandler,
)
PAPER_INCAR = (
    "ALGO = Normal\nEDIFF = 1e-4\nEDIFFG = -0.01\nENCUT = 350\nHFSCREEN = 0.2\nIBRION = 2\nISIF = 2\nISMEAR = 0\n"
    "ISPIN = 2\nISYM = 0\nLHFCALC = True\nNSW = 300\nNUPDOWN = 0\nPRECFOCK = Fast\nSIGMA = 0.05\nLWAVE = False\n"
)


def test_custodian_runs_it_without_a_word(
    water: Atoms, write_inputs: WriteInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    water.positions[1] -= (0.0, 0.04, -0.07)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    directory = write_inputs(water, incar=PAPER_INCAR)
    job = VaspJob([sys.executable, "-m", "defect_surrogate.vasp_xtb"], auto_npar=False, auto_gamma=False, backup=False)
    custodian = Custodian(
        [handler() for handler in HANDLERS],
        [job],
        validators=[VasprunXMLValidator(), VaspFilesValidator()],
        max_errors=1,
        polling_time_step=0.1,
        monitor_freq=1,
        directory=str(directory),
    )
    (log,) = custodian.run()
    assert log["corrections"] == []
    assert "reached required accuracy" in (directory / "vasp.out").read_text()
    assert (directory / "std_err.txt").read_text() == ""
    assert not any(handler().check(directory=str(directory)) for handler in HANDLERS)


def test_custodian_sees_a_run_that_did_not_converge(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 2; IBRION = 1; EDIFFG = -1E-6")
    run_in(directory)
    assert UnconvergedErrorHandler().check(directory=str(directory))
    assert not VasprunXMLValidator().check(directory=str(directory))


def test_custodian_sees_electronic_steps_at_nelm(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    directory = write_inputs(water, incar="NSW = 15; IBRION = 3; EDIFFG = 0; NELM = 3")
    run_in(directory)
    assert NonConvergingErrorHandler().check(directory=str(directory))


@pytest.mark.filterwarnings("ignore")
def test_snb_parse_reads_a_tree(water: Atoms, write_inputs: WriteInputs, run_in: RunIn, tmp_path: Path) -> None:
    energies = {}
    for name, shift in (("Unperturbed", 0.0), ("Bond_Distortion_-40.0%", -0.1)):
        water.positions[1] += (0.0, shift, 0.0)
        directory = write_inputs(water, incar=PAPER_INCAR, folder=f"tree/v_O_0/{name}")
        run_in(directory)
        energies[name] = read(directory / "vasprun.xml").get_potential_energy()
    done = subprocess.run(
        [str(Path(sys.executable).parent / "snb-parse"), "-d", "v_O_0", "-p", str(tmp_path / "tree")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parsed = yaml.safe_load((tmp_path / "tree" / "v_O_0" / "v_O_0.yaml").read_text())
    assert parsed["Unperturbed"] == pytest.approx(energies["Unperturbed"], abs=1e-6)
    assert parsed["distortions"][-0.4] == pytest.approx(energies["Bond_Distortion_-40.0%"], abs=1e-6)
    assert "not fully relaxed" not in done.stdout
    assert Path(parse_energies("v_O_0", str(tmp_path / "tree"))).exists()


def test_atoms_keep_the_order_of_the_file(water: Atoms, write_inputs: WriteInputs, run_in: RunIn) -> None:
    mixed = water[[1, 0, 2]]
    directory = write_inputs(mixed, incar="NSW = 3; IBRION = 2; EDIFFG = -1E-6")
    run_in(directory)
    assert read(directory / "POSCAR").get_chemical_symbols() == ["H", "O", "H"]
    for name in ("CONTCAR", "XDATCAR", "OUTCAR", "vasprun.xml"):
        assert read(directory / name).get_chemical_symbols() == ["H", "O", "H"], name
    first = read(directory / "vasprun.xml", index=0)
    np.testing.assert_allclose(first.positions, mixed.positions, atol=1e-10)
