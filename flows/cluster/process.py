"""The process that holds the workers of a folder, from outside: started, waited for, ended."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from defect_surrogate.errors import ServiceError
from flows.cluster.serve import CONNECTION, DETACHED, STATE

START_SECONDS = 120.0
"""Longest wait for the process to be ready (our choice)."""
SILENT_SECONDS = 300.0
"""Seconds without a sign of life after which a process is taken for dead (our choice)."""
STOP_SECONDS = 120.0
"""Longest wait for its end, in which it cancels the jobs (our choice)."""


def command_of(folder: Path, *, detached: bool) -> list[str]:
    """Return the command of the process that holds the workers of a folder; detached, it goes on without standard input."""
    return [sys.executable, "-m", "flows.cluster.serve", str(folder), *([DETACHED] if detached else [])]


def start_process(folder: Path, *, detached: bool) -> subprocess.Popen[bytes]:
    """Start the process that holds workers.

    Parameters
    ----------
    folder
        With its profile.
    detached
        Whether it outlives this process.

    Returns
    -------
    subprocess.Popen
        The process; it ends with this one, unless it is detached.
    """
    environment = os.environ | {"PREFECT_LOGGING_TO_API_ENABLED": "false"}
    with (folder / "serve.log").open("ab") as log:
        return subprocess.Popen(
            command_of(folder, detached=detached),
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C in the terminal must reach the campaign first
        )


def wait_for(folder: Path, process: subprocess.Popen[bytes] | None, *, patient: bool = False) -> dict[str, Any]:
    """Wait until the process that holds workers is ready.

    Parameters
    ----------
    folder
        Of the workers.
    process
        The process, if it was started here.
    patient
        Whether a process that was started elsewhere may be about to be started again.

    Returns
    -------
    dict
        What is in its ``cluster.json``.

    Raises
    ------
    ServiceError
        If it ended, or is not ready in time, or if no process has been started for the folder.
    """
    began = time.monotonic()
    while time.monotonic() - began < START_SECONDS:
        try:
            return dict(json.loads((folder / CONNECTION).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            pass
        if process is None and not patient:
            raise ServiceError(
                f"{folder}: no workers run there: defect-surrogate cluster start PROFILE --folder {folder}"
            )
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.05)
    raise ServiceError(f"the process that holds the workers did not start; see {folder / 'serve.log'}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End the process that holds workers, which cancels their jobs, and wait for it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def served_on(folder: Path) -> str | None:
    """Return the name of the machine on which workers of a folder are held; None if nobody holds them.

    Parameters
    ----------
    folder
        Of the workers.

    Returns
    -------
    str or None
        If the process has shown a sign of life lately, and, on this machine, lives.
    """
    try:
        connection = json.loads((folder / CONNECTION).read_text(encoding="utf-8"))
        host, pid = str(connection["host"]), int(connection["pid"])
        if host == socket.gethostname():
            os.kill(pid, 0)
        (now := folder / ".now").touch()  # by the clock of the file system
        return host if now.stat().st_mtime - (folder / STATE).stat().st_mtime < SILENT_SECONDS else None
    except (OSError, ValueError, KeyError):
        return None


def read_state(folder: Path) -> dict[str, Any]:
    """Read the state of the workers of a folder, by pool; empty if none run there."""
    try:
        return dict(json.loads((folder / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
