"""Every handler that is enabled fires on a fault of the real vasp-xtb, and the relaxation then ends in the same minimum."""

import contextlib
import os
import signal
import threading
import time

import pytest
from custodian.vasp.handlers import FrozenJobErrorHandler

from defect_surrogate.errors import (
    MemoryExceededError,
    ReferenceInputError,
    ReferenceInterruptedError,
    ReferenceRunError,
)
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import reference_method, relax_with_vasp

SLOW = {"IBRION": 3, "POTIM": 0.1, "EDIFFG": -0.001, "NELM": 20}
"""Enough steps for ten in a row without convergence."""


@pytest.fixture
def relax(water, tmp_path, monkeypatch):
    """Relax water with a fault."""

    def run(fault, **incar):
        monkeypatch.setenv("VASP_XTB_FAULT", fault)
        method = reference_method(water, ReferenceSettings(defect_incar=incar), cell="defect")
        return relax_with_vasp(water, method, directory=tmp_path / "run")

    return run


@pytest.mark.parametrize(
    ("fault", "incar", "said"),
    [
        ("zbrent@2", {}, "zbrent"),
        ("zpotrf@2", {}, "zpotrf"),
        ("zhegv@2", {"ALGO": "Fast"}, "edddav"),
        ("too-few-bands@2", {}, "too_few_bands"),
        ("brmix@2", {}, "brmix"),
        ("memory@2", {"KPAR": 2}, "out_of_memory"),
        ("energy-jump@3", {}, "PotimErrorHandler"),
        ("not-converging@1", SLOW, "NonConvergingErrorHandler"),
        ("not-converging@2", {"ALGO": "Normal"}, "ElectronicErrorHandler"),
    ],
)
def test_handlers_mend_what_they_are_for(relax, finished, fault, incar, said):
    relaxation = relax(fault, **incar)
    assert relaxation.converged
    assert relaxation.energy == pytest.approx(finished[1].energy, abs=2e-3)
    assert len(relaxation.provenance.corrections) <= 2  # the same run can be wrong in two ways
    assert said.lower() in relaxation.provenance.corrections[0].lower()


@pytest.fixture
def ageing(request, tmp_path, monkeypatch):
    """Makes vasp.out look as old as half an hour, so many times, when the run hangs."""
    output, over = tmp_path / "run" / "vasp.out", threading.Event()
    monkeypatch.setattr("defect_surrogate.vasp.run.MONITORING_STAND_IN", 1.0)

    def age():
        times = request.param
        while times and not over.wait(0.05):
            with contextlib.suppress(OSError):
                now = time.time()
                if (tmp_path / "run" / "FAULTS").exists() and 1.0 < now - output.stat().st_mtime < 10:
                    os.utime(output, (now - 3600, now - 3600))
                    times -= 1

    thread = threading.Thread(target=age)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.parametrize("ageing", [2], indirect=True)
def test_a_run_that_freezes_again_is_given_up(relax, ageing):
    with pytest.raises(ReferenceRunError, match="FrozenJob"):
        relax("hang@2x9")


@pytest.mark.parametrize("ageing", [1], indirect=True)
def test_a_frozen_run_is_ended_and_begun_again(relax, finished, ageing):
    relaxation = relax("hang@2")
    assert relaxation.converged
    assert relaxation.energy == pytest.approx(finished[1].energy, abs=2e-3)
    assert any(
        FrozenJobErrorHandler.__name__ in one or "frozen" in one.lower() for one in relaxation.provenance.corrections
    )


@pytest.mark.parametrize(
    ("fault", "message", "error"),
    [
        ("killed@2", "SIGKILL", ReferenceInterruptedError),
        ("terminated@2", "SIGTERM", ReferenceInterruptedError),
        ("crash@2", f"exit code {-signal.SIGSEGV}", ReferenceInterruptedError),
        ("exit-code@2", "exit code 1", ReferenceInterruptedError),
        ("full-disk@2", "No space left on device", ReferenceInterruptedError),
        ("truncated-OUTCAR@1", "OUTCAR: ends in the middle", ReferenceInterruptedError),
        ("memory@2", "out_of_memory", MemoryExceededError),
        ("nan-forces@2", "not finite", ReferenceRunError),
        ("star-forces@2", "not finite", ReferenceRunError),
        ("truncated-vasprun.xml@1", "VasprunXMLValidator", ReferenceRunError),
        ("zbrent@1x9", "zbrent", ReferenceRunError),
    ],
)
def test_what_cannot_be_mended_is_not_believed(relax, fault, message, error):
    """And its type says whether another attempt can help."""
    with pytest.raises(error, match=message):
        relax(fault)


def test_an_input_that_cannot_be_read_is_the_users_to_mend(relax):
    with pytest.raises(ReferenceInputError, match="reading"):
        relax("reading-item@1")


@pytest.mark.parametrize("name", ["CONTCAR", "XDATCAR", "OSZICAR"])
def test_files_that_are_not_read_may_be_cut(relax, finished, name):
    relaxation = relax(f"truncated-{name}@1")
    assert relaxation.converged
    assert relaxation.energy == pytest.approx(finished[1].energy, abs=1e-6)
