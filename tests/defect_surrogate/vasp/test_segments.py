"""Relaxations over several runs: what ended them is real, and so is the program."""

import re
import shutil

import numpy as np
import pytest

from defect_surrogate.errors import MemoryExceededError, ReferenceInterruptedError, StoppedError
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import Execution, Limit, interrupted_steps, reference_method, relax_with_vasp
from defect_surrogate.vasp.segments import WHOLE_PART

TIGHT = {"EDIFFG": -0.002}
"""Twice as many steps as by default."""


@pytest.fixture
def method(water):
    return reference_method(water, ReferenceSettings(defect_incar=TIGHT), cell="defect")


@pytest.fixture
def interrupted(water, method, tmp_path, monkeypatch):
    """Interrupts a run in a step by a fault, and returns its directory."""

    def run(fault, name="first", earlier=(), error=ReferenceInterruptedError):
        monkeypatch.setenv("VASP_XTB_FAULT", fault)
        with pytest.raises(error):
            relax_with_vasp(water, method, directory=tmp_path / name, earlier=earlier)
        monkeypatch.delenv("VASP_XTB_FAULT")
        return tmp_path / name

    return run


def test_a_relaxation_goes_on_from_where_it_was_killed_and_is_one_trajectory(water, method, interrupted, tmp_path):
    whole = relax_with_vasp(water, method, directory=tmp_path / "whole")
    first = interrupted_steps(interrupted("killed@4"), water, method, ())
    second = interrupted_steps(interrupted("terminated@5", "second", [first]), water, method, [first])
    third = relax_with_vasp(water, method, directory=tmp_path / "third", earlier=[first, second])
    steps = len(first.frames) - 1 + len(second.frames) - 1
    assert len(first.frames) == 3
    for segment in (first, second):
        assert segment.frames[-1].energy == min(frame.energy for frame in segment.frames)
    assert third.converged
    assert third.energy == pytest.approx(whole.energy, abs=1e-4)
    assert third.steps == len(third.frames) > steps
    for ours, before in zip(
        third.frames, first.frames, strict=False
    ):  # the last of the first is the first of the second
        assert ours.energy == pytest.approx(before.energy, abs=1e-6)
    distances = np.linalg.norm(third.frames[2].structure.cart_coords - first.frames[2].structure.cart_coords, axis=1)
    assert distances.max() < 1e-6
    assert [site.specie.symbol for site in third.structure] == ["H", "O", "H"]
    assert third.provenance.seconds > first.seconds + second.seconds > 0
    assert third.provenance.method == method.digest
    assert f"{steps} in 2 earlier runs" in third.detail


def test_steps_of_all_runs_count_towards_nsw(water, interrupted, tmp_path):
    limited = reference_method(water, ReferenceSettings(defect_incar=TIGHT | {"NSW": 5}), cell="defect")
    first = interrupted_steps(interrupted("killed@4"), water, limited, ())
    ended = relax_with_vasp(water, limited, directory=tmp_path / "second", earlier=[first])
    assert (ended.steps, ended.reason) == (5, "step limit")


@pytest.mark.parametrize("cut", [0.97, 0.8, 0.6])
def test_of_a_truncated_file_the_whole_steps_are_used(water, method, interrupted, cut):
    directory = interrupted("killed@9")
    vasprun = directory / "vasprun.xml"
    content = vasprun.read_bytes()
    vasprun.write_bytes(content[: int(cut * len(content))])
    steps = len(re.findall(r'(?s)<varray name="forces".*?</energy>', vasprun.read_text()))
    segment = interrupted_steps(directory, water, method, ())
    assert 1 < len(segment.frames) <= steps < 9


def test_nothing_is_used_of_a_run_that_came_to_no_second_step(water, method, interrupted):
    assert interrupted_steps(interrupted("killed@2"), water, method, ()) is None
    assert interrupted_steps(interrupted("killed@1", "second"), water, method, ()) is None


@pytest.mark.parametrize("harm", ["nan", "stars", "atoms", "program", "missing"])
def test_nothing_is_used_that_cannot_be_believed(water, method, interrupted, harm, tmp_path):
    directory = interrupted("killed@5")
    vasprun = directory / "vasprun.xml"
    text = vasprun.read_text()
    forces = text.rindex('<varray name="forces"')
    number = text.index("<v>", forces) + 3
    harmed = {
        "nan": text[:number] + "     NaN        " + text[number + 16 :],
        "stars": text[:number] + "*" * 16 + text[number + 16 :],
        "atoms": text.replace("<c>H </c>", "<c>Li</c>").replace("<c>H</c>", "<c>Li</c>"),
        "program": text.replace("vasp-xtb: a GFN-xTB stand-in, not VASP", "vasp").replace("STANDIN-XTB", "06Sep2000"),
        "missing": "",
    }[harm]
    assert harmed != text
    vasprun.write_text(harmed)
    assert interrupted_steps(directory, water, method, ()) is None


def test_a_run_with_another_energy_surface_is_not_gone_on_from(water, method, interrupted):
    directory = interrupted("killed@5")
    incar = directory / "INCAR"
    incar.write_text(incar.read_text().replace("SIGMA = 0.05", "SIGMA = 0.2"))
    assert interrupted_steps(directory, water, method, ()) is not None  # nothing was corrected
    shutil.rmtree(directory / WHOLE_PART)
    (directory / "custodian.json").write_text(
        '[{"corrections": [{"errors": ["zbrent"], "handler": {"@class": "VaspErrorHandler"}, '
        '"actions": [{"dict": "INCAR", "action": {"_set": {"SIGMA": 0.2}}}]}]}]'
    )
    assert interrupted_steps(directory, water, method, ()) is None


def test_the_end_of_the_job_stops_it_in_time(cluster_crystal, tmp_path):
    slow = {"EDIFFG": -0.001, "IBRION": 3, "POTIM": 0.02}
    tight = reference_method(cluster_crystal, ReferenceSettings(defect_incar=slow), cell="defect")
    ended = relax_with_vasp(cluster_crystal, tight, directory=tmp_path / "run", limit=Limit(4.0, 3.0))
    assert (ended.reason, ended.finished, ended.converged) == ("stopped", False, False)
    assert ended.provenance.seconds < 8
    segment = interrupted_steps(tmp_path / "run", cluster_crystal, tight, ())
    assert 1 < len(segment.frames) <= ended.steps


def test_a_request_ends_it_and_what_is_done_can_be_gone_on_from(water, method, tmp_path, monkeypatch):
    monkeypatch.setenv("VASP_XTB_FAULT", "hang@4")
    monkeypatch.setattr("defect_surrogate.vasp.run.MONITORING_STAND_IN", 1.0)
    with pytest.raises(StoppedError, match="stopped on request"):
        relax_with_vasp(water, method, directory=tmp_path / "run", limit=Limit(stopped=lambda: True))
    segment = interrupted_steps(tmp_path / "run", water, method, ())
    assert segment is None or len(segment.frames) <= 3


@pytest.mark.parametrize(
    "words", ["slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0", "srun: error: n1: task 0: Out Of Memory"]
)
def test_lack_of_memory_is_told_as_that(water, method, fake_executable, tmp_path, words):
    command = fake_executable("vasp-xtb", f"echo '{words}' >&2; exit 137")
    settings = ReferenceSettings(defect_incar=TIGHT, vasp_cmd=command)
    with pytest.raises(MemoryExceededError, match=r"(?i)out of memory|oom-kill"):
        relax_with_vasp(water, reference_method(water, settings, cell="defect"), directory=tmp_path / "run")


def test_the_launcher_stands_before_the_command_and_threads_are_said(
    water, vasp_library, finished_vasp, fake_executable, tmp_path
):
    command = fake_executable(
        "vasp_gam", f'echo "$OMP_NUM_THREADS" > threads; cp {finished_vasp}/[CO]* {finished_vasp}/vasprun.xml .'
    )
    launcher = fake_executable("launch", 'echo "$@" > ranks; shift; exec "$@"')
    settings = ReferenceSettings(vasp_cmd=command)
    method = reference_method(water, settings, cell="defect")
    relax_with_vasp(
        water, method, directory=tmp_path / "run", execution=Execution((*launcher, "--ntasks=64"), threads=4)
    )
    assert (tmp_path / "run" / "threads").read_text() == "4\n"
    assert (tmp_path / "run" / "ranks").read_text() == f"--ntasks=64 {command[0]}\n"


def test_large_files_lie_in_the_scratch_directory_and_go_with_the_run(
    water, vasp_library, finished_vasp, fake_executable, tmp_path, monkeypatch
):
    scratch = tmp_path / "scratch of the node"
    scratch.mkdir()
    monkeypatch.setenv("NODE_SCRATCH", str(scratch))
    command = fake_executable(
        "vasp_gam",
        f"cp {finished_vasp}/[CO]* {finished_vasp}/vasprun.xml .; for f in WAVECAR CHGCAR CHG; do echo big > $f; done; "
        f"ls -R '{scratch}' > {tmp_path}/seen",
    )
    method = reference_method(water, ReferenceSettings(vasp_cmd=command), cell="defect")
    relax_with_vasp(water, method, directory=tmp_path / "run", execution=Execution(scratch="$NODE_SCRATCH"))
    assert {"WAVECAR", "CHGCAR", "CHG"} <= set((tmp_path / "seen").read_text().split())
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "run" / "WAVECAR").exists()
    assert not (tmp_path / "run" / "WAVECAR").is_symlink()
