"""The command that starts the executable: found before work is queued, ended with the process that waits for it."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from defect_surrogate.errors import ReferenceInputError

STAND_IN = "vasp-xtb"


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


def guarded_command(command: Sequence[str], *, stand_in: bool) -> list[str]:
    """Prefix a command so that it has the right threads and does not outlive the process that waits for it.

    ``vasp-xtb`` gets one thread: the settings count its processes. VASP's threads are the user's business and its
    environment is left alone. Both are started by ``setpriv --pdeathsig TERM`` where that exists (Linux, util-linux
    2.33): the kernel then sends SIGTERM when the worker is killed, or the thread that waits for the program ends. TERM
    ends VASP, and ``mpirun`` and ``srun`` pass it on to ranks on other nodes, which they cannot do with KILL.
    ``setpriv`` and ``env`` replace themselves by the program, so that process id, process group and exit code stay those
    custodian watches.

    Parameters
    ----------
    command
        With paths, from ``find_command``.
    stand_in
        Whether it starts ``vasp-xtb``.

    Returns
    -------
    list of str
        Words to start.
    """
    threads = ["env", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"] if stand_in else []
    return [*_death_signal_prefix(), *threads, *command]


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
