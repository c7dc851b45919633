"""What becomes of a sweep when one of its compositions is lost, or is stopped."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from defect_surrogate.errors import ServiceError, StoppedError
from flows import sweep_alloy
from flows.sweep_folder import create_sweep
from flows.sweep_plan import plan_sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fan_out(tmp_path, sweep_settings, monkeypatch):
    """Fans four compositions out, of which each does what it is told; returns what was lost and what was searched."""
    alloy = sweep_settings.alloy.model_copy(update={"compositions": [0.0, 0.25, 0.5, 0.75]})

    def run(doings, *, at_once):
        settings = sweep_settings.model_copy(update={"alloy": alloy, "compositions_at_once": at_once})
        plan = plan_sweep(settings)
        folder = create_sweep(tmp_path / "run", settings, compositions=[one.name for one in plan.compositions])
        folder.archive.root.mkdir(parents=True, exist_ok=True)
        searched = []

        def search_composition(name, _out, _settings):
            searched.append(name)
            doings.get(name, lambda: None)()

        monkeypatch.setattr(sweep_alloy, "search_composition", search_composition)
        try:
            return sweep_alloy._fan_out(plan.compositions, folder, settings), searched, folder
        except BaseException as error:
            return error, searched, folder

    return run


def broken():
    raise ServiceError("its cluster is gone")


def stopped():
    raise StoppedError("stopped on request")


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_lost_composition_does_not_end_the_others(fan_out, at_once):
    lost, searched, _ = fan_out({"CdTe0.75Se0.25": broken}, at_once=at_once)
    assert lost == {"CdTe0.75Se0.25": "ServiceError: its cluster is gone"}
    assert sorted(searched) == ["CdTe", "CdTe0.25Se0.75", "CdTe0.5Se0.5", "CdTe0.75Se0.25"]


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_stop_ends_the_sweep(fan_out, at_once):
    error, searched, folder = fan_out({"CdTe": stopped, "CdTe0.75Se0.25": lambda: time.sleep(0.5)}, at_once=at_once)
    assert isinstance(error, StoppedError)
    assert set(searched) <= {"CdTe", "CdTe0.75Se0.25"}
    assert len(searched) <= at_once
    assert folder.stop_requested() == (at_once > 1)  # asks those beside it to end, too


INTERRUPTED = """
import os, signal, sys, threading, time
from types import SimpleNamespace as Named
from flows import sweep_alloy

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background process ignores
searched = []

def search_composition(name, *_):
    searched.append(name)
    if len(searched) == 1:
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    time.sleep(1.0)

sweep_alloy.search_composition = search_composition
folder = Named(path="run", settings=None, request_stop=lambda: print("asked to stop"))
try:
    sweep_alloy._fan_out([Named(name=name) for name in "abcd"], folder, Named(compositions_at_once=int(sys.argv[1])))
except KeyboardInterrupt:
    print("".join(sorted(searched)))
"""


@pytest.mark.parametrize(("at_once", "said"), [(1, ["a"]), (2, ["asked to stop", "ab"])])
def test_an_interruption_begins_nothing_new(at_once, said):
    """In a process of its own, since Ctrl-C is for a whole process."""
    command = [sys.executable, "-c", INTERRUPTED, str(at_once)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split("\n")[:-1] == said, done.stderr


def test_a_composition_leaves_a_request_to_stop_to_the_sweep(tmp_path, sweep_settings):
    folder = create_sweep(tmp_path / "run", sweep_settings, compositions=["CdTe0.5Se0.5"])
    folder.archive.root.mkdir(parents=True, exist_ok=True)
    folder.request_stop()
    one = folder.composition("CdTe0.5Se0.5")
    one.path.mkdir(parents=True)
    one.begin()
    assert folder.stop_requested()
