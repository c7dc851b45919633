"""Which of custodian's handlers watch a reference relaxation, and why.

Energies of one defect are compared with each other to 0.05 eV, so a correction may change how the minimum is reached
but not the energy surface: a unit that alone was run with other k-points, smearing, projectors or FFT grid would be
ranked wrongly.

Taken
-----
``KilledHandler`` (here)
    An executable ended by SIGKILL or SIGTERM that custodian did not send (out of memory, scheduler, ``kill -9``) is
    no error to be corrected: without it the other handlers would judge half-written files.
``DivergedHandler`` (here)
    An energy that has fallen by more than any bond can give, and stays there: nothing is to be corrected, and the other
    handlers would spend hours trying.
``StoppedHandler`` (here)
    Somebody wants the work to end; what is done is kept.
``VaspErrorHandler``
    The texts VASP prints. Left out of its list are those whose cure is another energy surface: ``tet``, ``dentet``
    and ``algo_tet`` (smearing, k-points), ``real_optlay``, ``rspher``, ``nicht_konv`` and ``subspacematrix`` (LREAL);
    the first ones cannot occur with ISMEAR = 0, and the others are a warning or stop VASP, which is then reported.
    A few more cures touch k-points or projectors in a host; ``relax_with_vasp`` refuses their results.
``StdErrHandler``
    Memory and symmetry texts on standard error.
``PotimErrorHandler``
    An energy that rises by more than 1 eV per atom in one step: half the POTIM.
``NonConvergingErrorHandler``
    Ten ionic steps in a row that used up NELM: another ALGO now rather than after 300 steps.
``FrozenJobErrorHandler``
    vasp.out untouched for 6 h (hybrid: one electronic step of a large cell can take an hour), 30 min for
    ``vasp-xtb``.
``ElectronicErrorHandler`` (here)
    ``UnconvergedErrorHandler`` only where the last step did not converge electronically. Using up NSW is left alone:
    NSW is the limit of the user and not converging is a result; restarting with IBRION = 1, as custodian would,
    changes the optimiser, which can change the basin.
``WalltimeHandler``
    Where the job or the settings limit the time: STOPCAR when three more ionic steps, or the margin, would not fit.

Left out
--------
``PositiveEnergyErrorHandler`` (the first steps of a distorted structure may well be positive; one that ends
so ranks last), ``LargeSigmaHandler`` and ``IncorrectSmearingHandler`` (SIGMA, ISMEAR), ``AliasingErrorHandler`` (FFT
grid; PREC = Accurate avoids the error), ``DriftErrorHandler`` (its one cure, PREC = Accurate, is set),
``MeshSymmetryErrorHandler`` and ``KspacingMetalHandler`` (k-points).

Validators are ``VasprunXMLValidator`` (readable to the end) and ``VaspFilesValidator``.
"""

import math
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custodian.custodian import ErrorHandler
from custodian.vasp.handlers import (
    FrozenJobErrorHandler,
    NonConvergingErrorHandler,
    PotimErrorHandler,
    StdErrHandler,
    UnconvergedErrorHandler,
    VaspErrorHandler,
    WalltimeHandler,
)
from custodian.vasp.io import load_vasprun
from custodian.vasp.jobs import VaspJob
from pymatgen.core import Structure

from defect_surrogate.vasp.inputs import ReferenceMethod
from defect_surrogate.vasp.parse import LARGEST_FALL

OUTPUTS = ("vasprun.xml", "OUTCAR", "OSZICAR", "XDATCAR", "STOPCAR")
"""Removed before each attempt, so that what is read afterwards was written by it."""

_CHANGES_THE_ENERGY = ("tet", "dentet", "algo_tet", "real_optlay", "rspher", "nicht_konv", "subspacematrix")
_MOST: dict[type[ErrorHandler], int] = {FrozenJobErrorHandler: 1, StdErrHandler: 2, PotimErrorHandler: 3}
"""Corrections by one handler, where another costs hours or cannot help (our choice): a run that has frozen twice will a third
time, after six more hours. ``reference.max_errors`` limits those of all; the other handlers run out of remedies."""
_FALLEN_STEPS = 3
"""Ionic steps in a row; one alone can be the trial of a line search."""
_IONIC_ENERGY = re.compile(r"F=\s*([-+.\dE]+)")
_SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@dataclass(frozen=True)
class Limit:
    """When a run is to end.

    Attributes
    ----------
    seconds
        From its start, in s; infinity for as long as it takes.
    margin
        Seconds before that at which it is told to end.
    stopped
        Asked every few seconds whether somebody wants it to end.
    """

    seconds: float = math.inf
    margin: float = 0.0
    stopped: Callable[[], bool] = lambda: False


class ReferenceJob(VaspJob):
    """A VASP run that knows how it ended.

    Without custodian's search for a Γ-only executable (``auto_gamma``): the settings say which one runs.
    """

    stopped_by_custodian = False

    def run(self, directory: str = "./") -> subprocess.Popen[bytes]:
        """Start the executable in ``directory`` with no earlier output in it."""
        for name in OUTPUTS:
            Path(directory, name).unlink(missing_ok=True)
        self.stopped_by_custodian = False
        return super().run(directory)

    def terminate(self, directory: str = "./") -> None:
        """End the process group, because a monitor wants to correct something."""
        self.stopped_by_custodian = True
        super().terminate(directory)

    @property
    def exit_code(self) -> int | None:
        """Exit code of the last execution; None while it runs or if none was started."""
        process: subprocess.Popen[bytes] | None = getattr(self, "_vasp_process", None)
        return None if process is None else process.poll()

    @property
    def killed_by(self) -> signal.Signals | None:
        """SIGKILL or SIGTERM if one of them ended the executable, or, as launchers report it, one of its ranks."""
        code = self.exit_code
        return next((number for number in _SIGNALS if code in (-number, 128 + number)), None)


class KilledHandler(ErrorHandler):
    """Refuses to correct an executable that somebody else killed.

    Parameters
    ----------
    job
        The run.
    """

    is_monitor = False

    def __init__(self, job: ReferenceJob) -> None:
        self.job = job

    def check(self, directory: str = "./") -> bool:
        """Whether it was killed, and not by custodian."""
        return self.job.killed_by is not None and not self.job.stopped_by_custodian

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Say so, and that nothing can be done."""
        return {"errors": [f"killed by {self.job.killed_by.name if self.job.killed_by else None}"], "actions": None}


class DivergedHandler(ErrorHandler):
    """Ends a run whose energy has fallen by more than any bond can give."""

    is_monitor = True

    def check(self, directory: str = "./") -> bool:
        """Whether the last three ionic steps are more than ``LARGEST_FALL`` below the first."""
        try:
            atoms = len(Structure.from_file(Path(directory, "POSCAR")))
            energies = [float(found) for found in _IONIC_ENERGY.findall(Path(directory, "OSZICAR").read_text())]
        except (OSError, ValueError):  # half written
            return False
        last = energies[1:][-_FALLEN_STEPS:]
        return len(last) == _FALLEN_STEPS and all(energies[0] - one > LARGEST_FALL * atoms for one in last)

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Say so, and that nothing can be done."""
        return {"errors": ["energy fell without a bound"], "actions": None}


class StoppedHandler(ErrorHandler):
    """Ends a run that somebody wants to end.

    Parameters
    ----------
    stopped
        Whether that is so.
    """

    is_monitor = True

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self.stopped = stopped

    def check(self, directory: str = "./") -> bool:
        """Whether it is to end."""
        return self.stopped()

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Say so, and that nothing can be done."""
        return {"errors": ["stopped on request"], "actions": None}


class ElectronicErrorHandler(UnconvergedErrorHandler):
    """Corrects a last step that did not converge electronically, and leaves the ionic loop alone."""

    def check(self, directory: str = "./") -> bool:
        """Whether vasprun.xml is whole and its last step used up NELM."""
        try:
            return not load_vasprun(str(Path(directory, self.output_filename))).converged_electronic
        except Exception:  # a file that cannot be read is the validators' business
            return False


def handlers(job: ReferenceJob, method: ReferenceMethod, limit: Limit) -> list[ErrorHandler]:
    """Choose the handlers of a run, in the order in which they are asked.

    Parameters
    ----------
    job
        The run.
    method
        Says which executable it is.
    limit
        When it is to end.

    Returns
    -------
    list of ErrorHandler
        As the module explains.
    """
    texts = [name for name in VaspErrorHandler.error_msgs if name not in _CHANGES_THE_ENERGY]
    chosen = [
        KilledHandler(job),
        StoppedHandler(limit.stopped),
        DivergedHandler(),
        VaspErrorHandler(errors_subset_to_catch=texts),
        StdErrHandler(),
        PotimErrorHandler(),
        NonConvergingErrorHandler(),
        ElectronicErrorHandler(),
        FrozenJobErrorHandler(timeout=1800 if method.is_stand_in else 21600),
    ]
    if math.isfinite(limit.seconds):
        chosen.append(WalltimeHandler(wall_time=limit.seconds, buffer_time=limit.margin))
    for handler in chosen:
        if type(handler) in _MOST:
            handler.max_num_corrections, handler.raise_on_max = _MOST[type(handler)], True
    return chosen


def walltime_buffer(walltime: float) -> float:
    """Seconds before the walltime at which STOPCAR is written: custodian's 300, or a tenth of a shorter walltime.

    Parameters
    ----------
    walltime
        Seconds.

    Returns
    -------
    float
        Seconds.
    """
    return min(300.0, walltime / 10)
