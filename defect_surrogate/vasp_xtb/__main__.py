"""The command ``vasp-xtb``: input and output in the current directory.

Exit code 0; 1, refused, with a message as VASP prints it; 74, a file could not be read or written; 143, SIGTERM. SIGTERM is
waited for in a thread and so obeyed at once, also in the middle of tblite's work; the files then hold the steps that were
done, as VASP's do.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from . import NATURE, VERSION
from .errors import VaspXtbStop

_FILE_TROUBLE = 74  # EX_IOERR, sysexits.h
_TERMINATED = 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run vasp-xtb in the current directory.

    Parameters
    ----------
    argv
        Command line, ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        Exit code.
    """
    arguments = _parser().parse_args(argv)
    _obey_sigterm()
    try:
        from .faults import read_fault  # noqa: PLC0415  the slow imports come after the watch for SIGTERM
        from .run import run  # noqa: PLC0415

        fault = read_fault(arguments.fault) if arguments.fault else None
        run(Path.cwd(), console=sys.stdout, fault=fault)
    except (VaspXtbStop, OSError) as error:
        with contextlib.suppress(OSError):
            sys.stdout.write(_refusal(str(error)))
            sys.stdout.flush()
        return 1 if isinstance(error, VaspXtbStop) else _FILE_TROUBLE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vasp-xtb",
        description="A licence-free stand-in for VASP: reads POSCAR, INCAR, KPOINTS and POTCAR in the current directory, "
        "computes with GFN1-xTB (doi:10.1021/acs.jctc.7b00118) by tblite at Gamma, and writes vasprun.xml, OUTCAR, "
        "OSZICAR, CONTCAR, XDATCAR and standard output in VASP's formats. It is not VASP.",
        epilog="INCAR tags of its own: XTB_METHOD = GFN1-xTB | GFN2-xTB, XTB_MIN_WIDTH = smallest width of the cell in "
        "Angstrom (10; also an environment variable). STOPCAR with LSTOP or LABORT ends a run. Threads: OMP_NUM_THREADS.",
    )
    parser.add_argument(
        "--fault",
        metavar="NAME@STEP",
        default=os.environ.get("VASP_XTB_FAULT"),
        help="break in ionic step STEP, once in a folder (NAME@STEPx3: in three executions), to test what watches the run; "
        "also the environment variable VASP_XTB_FAULT",
    )
    parser.add_argument("--version", action="version", version=f"{NATURE}; version {VERSION}")
    return parser


def _obey_sigterm() -> None:
    """End with 143 on SIGTERM at once: Python's own handlers wait for the library call to return."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        os._exit(_TERMINATED)

    threading.Thread(target=wait, daemon=True).start()


def _refusal(message: str) -> str:
    """Return a message in the kind of box VASP prints before it stops."""
    rule = " " + 77 * "-"
    return (
        f"{rule}\n|  EEEEEEE  RRRRRR   RRRRRR   OOOOOOO  RRRRRR   ({NATURE})\n|\n"
        f"|     {message}\n|\n|       ---->  I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!! <----\n{rule}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
