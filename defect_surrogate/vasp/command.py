"""The command that starts the executable: found before work is queued, ended with the process that waits for it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from defect_surrogate.errors import ReferenceInputError

STAND_IN = "vasp-xtb"

LARGE_FILES = ("WAVECAR", "CHGCAR", "CHG")
"""Wave functions and charge densities: gigabytes, of no use after the run."""


@dataclass(frozen=True)
class Execution:
    """How the executable is started in the job that it runs in; nothing of this decides the result.

    Attributes
    ----------
    launcher
        Words before the command, e.g. ``srun --ntasks=64``.
    threads
        Value of OMP_NUM_THREADS for each rank; the environment's when None.
    scratch
        Directory of the node for the large files, in which variables such as ``$TMPDIR`` are read; the run's own when None.
    """

    launcher: tuple[str, ...] = ()
    threads: int | None = None
    scratch: str | None = None


def find_command(command: Sequence[str]) -> tuple[str, ...]:
    """Replace the first word of a command, and ``vasp-xtb`` wherever it stands, by their paths.

    Parameters
    ----------
    command
        Words, e.g. ``srun -n 16 vasp_gam``. A program is sought on PATH, then beside the running Python, where the
        console scripts of an environment are that was not activated.

    Returns
    -------
    tuple of str
        The command with paths.

    Raises
    ------
    ReferenceInputError
        If a program is not found or may not be executed.
    """
    return tuple(
        _find(word, command) if index == 0 or Path(word).name == STAND_IN else word
        for index, word in enumerate(command)
    )


def guarded_command(command: Sequence[str], *, threads: int | None) -> list[str]:
    """Prefix a command so that it has the right threads and does not outlive the process that waits for it.

    It is started by ``setpriv --pdeathsig TERM`` where that exists (Linux, util-linux
    2.33): the kernel then sends SIGTERM when the worker is killed, or the thread that waits for the program ends. TERM
    ends VASP, and ``mpirun`` and ``srun`` pass it on to ranks on other nodes, which they cannot do with KILL.
    ``setpriv`` and ``env`` replace themselves by the program, so that process id, process group and exit code stay those
    custodian watches.

    Parameters
    ----------
    command
        With paths, from ``find_command``.
    threads
        Of each process; the environment's when None.

    Returns
    -------
    list of str
        Words to start.
    """
    variables = [] if threads is None else ["env", f"OMP_NUM_THREADS={threads}", f"OPENBLAS_NUM_THREADS={threads}"]
    return [*_death_signal_prefix(), *variables, *command]


def link_large_files(directory: Path, scratch: str | None) -> None:
    """Have the executable write its large files to a directory of the node.

    Parameters
    ----------
    directory
        Of the run.
    scratch
        As in ``Execution``; nothing is linked when None.

    Raises
    ------
    ReferenceInputError
        If the directory is not there, or cannot be written.
    """
    if scratch is None:
        return
    place = Path(os.path.expandvars(scratch))
    if "$" in str(place) or not os.access(place, os.W_OK):
        raise ReferenceInputError(f"scratch = {scratch!r}, here {str(place)!r}: is no directory that can be written")
    own = Path(tempfile.mkdtemp(prefix="defect-surrogate-", dir=place))
    for name in LARGE_FILES:
        (directory / name).symlink_to(own / name)


def drop_large_files(directory: Path) -> None:
    """Remove wave functions and charge densities of a run, wherever they are; nothing here reads them again.

    Parameters
    ----------
    directory
        Of the run.
    """
    for path in (directory / name for name in LARGE_FILES):
        if path.is_symlink():
            shutil.rmtree(path.readlink().parent, ignore_errors=True)
        path.unlink(missing_ok=True)


@cache
def _death_signal_prefix() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "TERM", "--")
    works = subprocess.run([*prefix, "true"], check=False, capture_output=True, timeout=10).returncode == 0
    return prefix if works else ()


def _find(program: str, command: Sequence[str]) -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which(program) or (shutil.which(program, path=beside) if "/" not in program else None)
    if found is None:
        advice = (
            "install this package into the environment, which brings it along"
            if Path(program).name == STAND_IN
            else "load the module that provides it, or set reference.vasp_cmd to its full path, or to ['vasp-xtb'], the "
            "licence-free stand-in"
        )
        raise ReferenceInputError(f"vasp_cmd {' '.join(command)!r}: no executable {program!r} on PATH: {advice}")
    return str(Path(found).absolute())
