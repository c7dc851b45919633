"""Faults strike in their step, as often as asked, and leave what VASP leaves."""

import math
import os
import signal
import subprocess
import sys
import time

import pytest
from pymatgen.io.vasp.outputs import Oszicar, Vasprun

from defect_surrogate.vasp_xtb.errors import VaspXtbStop
from defect_surrogate.vasp_xtb.faults import FAULTS_FILE, MESSAGES, Fault, read_fault

INCAR = "NSW = 3; IBRION = 3; EDIFFG = 0; NELM = 40"
COMMAND = [sys.executable, "-m", "defect_surrogate.vasp_xtb"]


@pytest.fixture
def execute(water, write_inputs):
    """Execute vasp-xtb on water with a fault, any number of times, and return the folder and how each ended."""

    def run(fault, *, times=1):
        directory = write_inputs(water, incar=INCAR)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = [
            subprocess.run(
                [*COMMAND, "--fault", fault],
                cwd=directory,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            for _ in range(times)
        ]
        return directory, done

    return run


def energies(directory):
    return [step["F"] for step in Oszicar(directory / "OSZICAR").ionic_steps]


def test_a_fault_is_read():
    assert read_fault("truncated-vasprun.xml@12x3") == Fault("truncated-vasprun.xml", 12, 3)
    assert read_fault("zbrent@1") == Fault("zbrent", 1, 1)


@pytest.mark.parametrize(
    "text", ["", "zbrent", "zbrent@0", "zbrent@-1", "gremlin@1", "zbrent@1x0", "zbrent@1\n", "zbrent@x"]
)
def test_what_is_no_fault_is_refused(text):
    with pytest.raises(VaspXtbStop, match="NAME@STEP"):
        read_fault(text)


def test_an_unknown_fault_ends_the_run(execute):
    _, (ended,) = execute("gremlin@2")
    assert ended.returncode == 1
    assert "gremlin@2" in ended.stdout


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_said_in_their_step_and_once(execute, name):
    directory, (first, second) = execute(f"{name}@2", times=2)
    assert (first.returncode, second.returncode) == (1, 0)
    assert MESSAGES[name] in first.stdout
    assert MESSAGES[name] not in second.stdout
    assert len(energies(directory)) == 3
    assert (directory / FAULTS_FILE).read_text() == f"{name}\n"


def test_it_strikes_as_often_as_asked(execute):
    directory, ended = execute("exit-code@2x2", times=3)
    assert [one.returncode for one in ended] == [1, 1, 0]
    assert len(energies(directory)) == 3


def test_a_run_that_ends_before_its_fault_fails(execute):
    _, (ended,) = execute("zbrent@4")
    assert ended.returncode == 1
    assert "zbrent@4: the run ended after 3 ionic steps" in ended.stdout


@pytest.mark.parametrize(
    ("name", "code"), [("crash", -signal.SIGSEGV), ("killed", -signal.SIGKILL), ("terminated", 128 + signal.SIGTERM)]
)
def test_signals(execute, name, code):
    directory, (ended,) = execute(f"{name}@3")
    assert ended.returncode == code
    assert len(energies(directory)) == 2


def test_memory_is_told_on_standard_error(execute):
    _, (ended,) = execute("memory@2")
    assert ended.returncode == 1
    assert "Allocation would exceed memory limit" in ended.stderr


def test_a_full_disk_is_an_error_of_files(execute):
    _, (ended,) = execute("full-disk@2")
    assert ended.returncode == 74
    assert "No space left on device" in ended.stdout


def test_hanging_writes_nothing_more_and_ends_at_sigterm(water, write_inputs):
    directory = write_inputs(water, incar=INCAR)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "VASP_XTB_FAULT": "hang@2"}
    process = subprocess.Popen(COMMAND, cwd=directory, env=environment, stdout=subprocess.DEVNULL)
    while not (directory / FAULTS_FILE).exists():
        time.sleep(0.05)
    time.sleep(1)
    assert process.poll() is None
    assert len(energies(directory)) == 1
    process.terminate()
    assert process.wait() == 143


def test_no_step_converges_any_more(execute):
    directory, (ended,) = execute("not-converging@2")
    assert ended.returncode == 0
    steps = Vasprun(directory / "vasprun.xml", exception_on_bad_xml=True).ionic_steps
    assert [len(step["electronic_steps"]) for step in steps][1:] == [40, 40]
    assert len(steps[0]["electronic_steps"]) < 40


def test_the_energy_jumps_for_one_step(execute):
    directory, _ = execute("energy-jump@2")
    first, second, third = energies(directory)
    assert second - first > 5
    assert abs(third - first) < 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["nan-forces", "star-forces"])
def test_forces_that_are_none_are_nan_to_parsers(execute, name):
    directory, (ended,) = execute(f"{name}@2")
    assert ended.returncode == 0
    last = Vasprun(directory / "vasprun.xml").ionic_steps[-1]["forces"]
    assert all(math.isnan(value) for row in last for value in row)


@pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR", "OSZICAR", "CONTCAR", "XDATCAR"])
def test_files_are_cut_in_half_once(execute, name):
    directory, (ended,) = execute(f"truncated-{name}@1")
    assert ended.returncode == 0
    half = (directory / name).stat().st_size
    again = subprocess.run(
        [*COMMAND, "--fault", f"truncated-{name}@1"],
        cwd=directory,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert again.returncode == 0
    assert (directory / name).stat().st_size == pytest.approx(2 * half, abs=20)  # times it took are printed, too
