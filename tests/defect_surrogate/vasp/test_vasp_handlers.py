import json
import re
import time
from pathlib import Path

import pytest
from custodian.vasp.handlers import VaspErrorHandler, WalltimeHandler
from monty.json import MontyEncoder

from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import reference_method
from defect_surrogate.vasp.handlers import (
    DivergedHandler,
    ElectronicErrorHandler,
    KilledHandler,
    Limit,
    ReferenceJob,
    handlers,
    walltime_buffer,
)


def _finished_job(directory: Path, script: str) -> ReferenceJob:
    job = ReferenceJob(["sh", "-c", script], auto_gamma=False, backup=False)
    job.run(str(directory)).wait(timeout=10)
    return job


@pytest.mark.parametrize(
    ("script", "name"),
    [("kill -9 $$", "SIGKILL"), ("kill -15 $$", "SIGTERM"), ("exit 137", "SIGKILL"), ("exit 143", "SIGTERM")],
)
def test_job_knows_what_killed_it(tmp_path, script, name):
    job = _finished_job(tmp_path, script)
    assert job.killed_by is not None
    assert job.killed_by.name == name
    assert KilledHandler(job).check()
    assert KilledHandler(job).correct() == {"errors": [f"killed by {name}"], "actions": None}


@pytest.mark.parametrize("script", ["exit 0", "exit 1", "kill -11 $$"])
def test_crash_is_left_to_the_other_handlers(tmp_path, script):
    assert not KilledHandler(_finished_job(tmp_path, script)).check()


def test_end_by_custodian_is_no_kill(tmp_path):
    job = ReferenceJob(["sleep", "60"], auto_gamma=False, backup=False)
    process = job.run(str(tmp_path))
    job.terminate(str(tmp_path))
    assert process.wait(timeout=10) != 0
    assert job.killed_by is not None
    assert not KilledHandler(job).check()


def test_earlier_output_is_gone_before_an_attempt(tmp_path):
    (tmp_path / "vasprun.xml").write_text("of an earlier attempt")
    (tmp_path / "WAVECAR").write_text("worth keeping")
    _finished_job(tmp_path, "exit 0")
    assert not (tmp_path / "vasprun.xml").exists()
    assert (tmp_path / "WAVECAR").exists()


def test_no_chosen_text_is_cured_by_another_energy_surface(water, monkeypatch):
    monkeypatch.setenv("CUSTODIAN_WALLTIME_START", "")
    monkeypatch.delenv("CUSTODIAN_WALLTIME_START")
    job = ReferenceJob(["true"])
    chosen = handlers(job, reference_method(water, ReferenceSettings(), cell="defect"), Limit(3600.0, 300.0))
    assert isinstance(chosen[0], KilledHandler)
    assert isinstance(chosen[-1], WalltimeHandler)
    texts = next(handler for handler in chosen if isinstance(handler, VaspErrorHandler)).errors_subset_to_catch
    assert not {"tet", "dentet", "rspher", "nicht_konv"} & set(texts)
    assert {"zbrent", "zpotrf", "read_error", "too_few_bands"} <= set(texts)


def test_handlers_go_into_custodians_log(water):
    job = ReferenceJob(["true"])
    chosen = handlers(job, reference_method(water, ReferenceSettings(), cell="defect"), Limit())
    assert "KilledHandler" in json.dumps(chosen, cls=MontyEncoder)
    assert not any(isinstance(handler, WalltimeHandler) for handler in chosen)


@pytest.mark.parametrize(
    ("energies", "diverged"),
    [
        ((-10.0, -11.0, -12.0, -13.0), False),
        ((-10.0, -11.0, -60.0, -61.0, -60.0), True),  # water has three atoms: more than 30 eV
        ((-10.0, -60.0, -61.0), False),  # two steps alone
        ((-10.0, -60.0, -61.0, -12.0), False),  # it came back
        ((-10.0, 60.0, 61.0, 62.0), False),  # it rose: another handler's
        ((), False),
    ],
)
def test_a_fall_without_a_bound_is_told_from_a_trial_step(water, tmp_path, energies, diverged):
    assert not DivergedHandler().check(str(tmp_path))  # no files yet
    water.to(str(tmp_path / "POSCAR"), fmt="poscar")
    lines = [f"{n:4d} F= {energy:.11E} E0= {energy:.11E}  d E =-.1E+00" for n, energy in enumerate(energies, start=1)]
    (tmp_path / "OSZICAR").write_text("\n".join(lines) + "\n  5 F= ******")
    assert DivergedHandler().check(str(tmp_path)) is diverged


@pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.outputs.UnconvergedVASPWarning")
@pytest.mark.parametrize(
    ("pattern", "replacement", "corrected"),
    [
        (r'(name="NSW">) 300', r"\1 2", False),
        (r'(name="NELM">) 100', r"\1 2", True),
        (r"(?s)</parameters>.*", "", False),
    ],
    ids=["steps used up", "electrons not converged", "truncated"],
)
def test_only_unconverged_electrons_are_corrected(finished, tmp_path, pattern, replacement, corrected):
    text = re.sub(pattern, replacement, (finished[0] / "vasprun.xml").read_text())
    (tmp_path / "vasprun.xml").write_text(text)
    assert ElectronicErrorHandler().check(str(tmp_path)) == corrected


@pytest.mark.parametrize(("walltime", "seconds"), [(60, 6), (3000, 300), (86400, 300)])
def test_buffer_leaves_most_of_a_short_walltime(walltime, seconds):
    assert walltime_buffer(walltime) == seconds


def test_job_is_started_in_its_directory_without_changing_ours(tmp_path):
    before = Path.cwd()
    started = time.monotonic()
    _finished_job(tmp_path, "pwd")
    assert Path.cwd() == before
    assert (tmp_path / "vasp.out").read_text().strip() == str(tmp_path.resolve())
    assert time.monotonic() - started < 5
