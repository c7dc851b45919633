"""Who works in a folder: one process at a time, known by a lock that the kernel frees when the process dies."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from defect_surrogate.errors import HeldError, InputError

LOCK = ".lock"

LOOK_SECONDS = 0.1
"""Time in which one who looks whether a folder is free has done so (our choice)."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the folder of a run, so that no second process works in it at the same time.

    Parameters
    ----------
    path
        The folder; made when missing.

    Raises
    ------
    HeldError
        If another process holds it.
    InputError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / LOCK).open("a+")
    except OSError as error:
        raise InputError(f"{path}: cannot be the folder of a run: {error}") from error
    with lock as stream:
        if not _taken(stream):
            stream.seek(0)
            raise HeldError(f"{path}: runs already (process {stream.read()})")
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def is_free(path: Path) -> bool:
    """Whether no process of this machine, or of one that shares locks, holds a folder, which need not be writable."""
    try:
        with (path / LOCK).open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True


def _taken(stream: TextIO) -> bool:
    """Take a lock, also from those who only look whether it is free, which takes them no time."""
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() - began > LOOK_SECONDS:
                return False
        time.sleep(LOOK_SECONDS / 50)
