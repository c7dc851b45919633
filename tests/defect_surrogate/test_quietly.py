"""What libraries print goes nowhere, and what we print where it should, whoever else redirects at the time."""

import sys
import threading
import warnings
from pathlib import Path

import pytest

from defect_surrogate.quietly import quietly

ROOT = Path(__file__).parents[2]


def test_prints_and_warnings_are_kept_from_the_user(capfd):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with quietly() as printed:
            sys.stdout.write("hello\n")
            sys.stderr.write("oh\n")
            warnings.warn("careful", stacklevel=1)
        sys.stdout.write("mine\n")
    assert (printed.getvalue(), told) == ("hello\noh\n", [])
    assert capfd.readouterr() == ("mine\n", "")


def test_threads_that_overlap_leave_the_streams_as_they_were():
    """The one that began first ends first."""
    streams, inside = (sys.stdout, sys.stderr), threading.Event()

    def other():
        inside.wait(10)
        with quietly():
            pass

    thread = threading.Thread(target=other)
    thread.start()
    with quietly():
        inside.set()
        thread.join(0.2)
    thread.join()
    assert (sys.stdout, sys.stderr) == streams


def test_an_error_leaves_the_streams_as_they_were():
    streams = (sys.stdout, sys.stderr)
    with pytest.raises(ValueError, match="no"), quietly():
        raise ValueError("no")
    assert (sys.stdout, sys.stderr) == streams


def test_nobody_else_redirects():
    redirecting = [
        path.name
        for room in ("defect_surrogate", "flows", "tasks")
        for path in (ROOT / room).rglob("*.py")
        if "redirect_std" in path.read_text()
    ]
    assert redirecting == ["quietly.py"]
