"""The command: options, refusals, signals, and what is left of a run that was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from lxml.etree import XMLSyntaxError
from pymatgen.io.vasp import Vasprun

WriteInputs = Callable[..., Path]
COMMAND = [sys.executable, "-m", "defect_surrogate.vasp_xtb"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
ENDLESS = "NSW = 100000; IBRION = 3; EDIFFG = 0"


def command(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )


def wait_for(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def ionic_steps(directory: Path) -> int:
    path = directory / "OSZICAR"
    return path.read_text().count(" F= ") if path.exists() else 0


@pytest.fixture
def endless(water: Atoms, write_inputs: WriteInputs) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run that does not end by itself, in its third ionic step or later."""
    directory = write_inputs(water, incar=ENDLESS)
    with subprocess.Popen(
        COMMAND, cwd=directory, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_for(lambda: ionic_steps(directory) >= 3)
            yield process, directory
        finally:
            process.kill()
            process.communicate()


def test_version_and_help(tmp_path: Path) -> None:
    version = command(tmp_path, "--version")
    assert version.returncode == 0
    assert "not VASP" in version.stdout
    assert "XTB_METHOD" in command(tmp_path, "--help").stdout


def test_a_good_run(water: Atoms, write_inputs: WriteInputs) -> None:
    done = command(write_inputs(water, incar="NSW = 50; IBRION = 2; EDIFFG = -0.01"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "not VASP" in done.stdout
    assert "reached required accuracy" in done.stdout


def test_refusals_are_told_without_traceback(tmp_path: Path, write_inputs: WriteInputs) -> None:
    small = write_inputs(bulk("CdTe", "zincblende", a=6.54, cubic=True))
    for directory, message in ((tmp_path, "No POSCAR, no INCAR, no KPOINTS, no POTCAR in"), (small, "2x2x2 supercell")):
        done = command(directory)
        assert (done.returncode, done.stderr) == (1, "")
        assert message in done.stdout
        assert "I REFUSE TO CONTINUE" in done.stdout


def test_a_folder_that_cannot_be_written_is_told(water: Atoms, write_inputs: WriteInputs) -> None:
    directory = write_inputs(water)
    (directory / "OUTCAR").mkdir()
    done = command(directory)
    assert (done.returncode, done.stderr) == (74, "")
    assert "OUTCAR" in done.stdout


def test_sigterm_ends_with_143_and_leaves_the_steps_done(endless: tuple[subprocess.Popen[str], Path]) -> None:
    process, directory = endless
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 143
    assert_is_as_vasp_leaves_it(directory)


def test_sigkill_leaves_a_truncated_vasprun(endless: tuple[subprocess.Popen[str], Path]) -> None:
    process, directory = endless
    process.kill()
    process.wait(timeout=10)
    assert_is_as_vasp_leaves_it(directory)


def assert_is_as_vasp_leaves_it(directory: Path) -> None:
    with pytest.raises(XMLSyntaxError):
        Vasprun(directory / "vasprun.xml", parse_potcar_file=False)
    assert len(read(directory / "vasprun.xml", index=":")) >= 3
    assert len(read(directory / "CONTCAR")) == 3


def test_stopcar_written_during_the_run_ends_it(endless: tuple[subprocess.Popen[str], Path]) -> None:
    process, directory = endless
    (directory / "STOPCAR").write_text("LSTOP = .TRUE.\n")
    assert process.wait(timeout=20) == 0
    assert len(Vasprun(directory / "vasprun.xml", parse_potcar_file=False).ionic_steps) >= 3
    assert not (directory / "STOPCAR").exists()


def test_a_full_disk_is_not_taken_for_bad_input(water: Atoms, write_inputs: WriteInputs) -> None:
    directory = write_inputs(water, incar=ENDLESS)
    (directory / "OUTCAR").symlink_to("/dev/full")
    done = subprocess.run(
        COMMAND, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (74, "")
    assert "No space left on device" in done.stdout
