"""Who works in a folder: one process at a time, known by a lock that the kernel frees when the process dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from defect_surrogate.errors import HeldError, InputError

LOCK = ".lock"


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
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            raise HeldError(f"{path}: runs already (process {stream.read()})") from error
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def is_free(path: Path) -> bool:
    """Whether no process of this machine, or of one that shares locks, holds a folder."""
    try:
        with (path / LOCK).open("a+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
