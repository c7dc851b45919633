"""Faults on demand: the messages, states and files that VASP leaves when it breaks, so that what watches it can be tested.

``vasp-xtb --fault NAME@STEP`` or the environment variable ``VASP_XTB_FAULT`` makes a run break in the ionic step STEP. It
strikes once in a folder, so that a run that was mended, or continued, goes on; ``NAME@STEPx3`` strikes in three executions. The
file ``FAULTS`` in the folder keeps count. A run that ends before STEP fails, so that no test passes without its fault, but for
``NAME@STEP?``.
"""

import dataclasses
import errno
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from .engine import ElectronicStep, Evaluation
from .errors import VaspXtbStop
from .outputs import OutputFiles

FAULTS_FILE = "FAULTS"
MEMORY, MEMORY_SECONDS = 2_000_000_000, 5.0
"""Bytes that a run takes to be ended for it, and how long it holds them."""
ENERGY_JUMP = 2.0
"""eV per atom: more than what custodian's ``PotimErrorHandler`` allows, 1."""


def _not_converged(evaluation: Evaluation, outputs: OutputFiles) -> Evaluation:
    """Use up NELM."""
    last, cycles = evaluation.steps[-1], outputs.job.settings.nelm
    numbers = range(len(evaluation.steps) + 1, cycles + 1)
    more = tuple(ElectronicStep(number, last.energy, 1.0, 1.0) for number in numbers)
    for step in more:
        outputs.electronic_step(step)
    return dataclasses.replace(evaluation, steps=(*evaluation.steps, *more)[:cycles], converged=False)


def _energy_jump(evaluation: Evaluation, _outputs: OutputFiles) -> Evaluation:
    return dataclasses.replace(evaluation, energy=evaluation.energy + ENERGY_JUMP * len(evaluation.forces))


def _nan_forces(evaluation: Evaluation, _outputs: OutputFiles) -> Evaluation:
    return dataclasses.replace(evaluation, forces=np.full_like(evaluation.forces, np.nan))


def _say_and_end(evaluation: Evaluation, outputs: OutputFiles, *, output: str = "", error: str = "") -> NoReturn:
    """End with exit code 1, as VASP does after a message."""
    sys.stdout.write(output)
    sys.stderr.write(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _hang(_evaluation: Evaluation, _outputs: OutputFiles) -> NoReturn:
    while True:
        time.sleep(3600)


def _take_memory(evaluation: Evaluation, _outputs: OutputFiles) -> Evaluation:
    """Hold two gigabytes for a while, and go on if nobody minds."""
    taken = np.ones(MEMORY // 8)
    time.sleep(MEMORY_SECONDS)
    return dataclasses.replace(evaluation, energy=evaluation.energy + 0.0 * float(taken[-1]))


def _fill_disk(_evaluation: Evaluation, _outputs: OutputFiles) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _killed(_evaluation: Evaluation, _outputs: OutputFiles, *, by: signal.Signals) -> NoReturn:
    os.kill(os.getpid(), by)
    _hang(_evaluation, _outputs)  # until the signal arrives


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _starred(path: Path) -> None:
    """Put stars for the forces of the last step, as Fortran prints numbers that do not fit."""
    before, name, block = path.read_text(encoding="utf-8").rpartition('<varray name="forces">')
    block, end, after = block.partition("</varray>")
    path.write_text(before + name + re.sub(r"-?[0-9]+\.[0-9]+", "*" * 16, block) + end + after, encoding="utf-8")


MESSAGES = {
    "zbrent": "ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF, or copy CONTCAR\n"
    "     to POSCAR and continue\n",
    "zpotrf": " LAPACK: Routine ZPOTRF failed!\n",
    "zhegv": " Error EDDDAV: Call to ZHEGV failed. Returncode =  18 1 11\n",
    "too-few-bands": " TOO FEW BANDS\n",
    "brmix": " BRMIX: very serious problems\n the old and the new charge density differ\n",
    "reading-item": " Error reading item 'NSW' from file INCAR.\n Error code was IERR= 5 ... . Found N= 0 data.\n",
}
"""What VASP prints to standard output before it ends."""

IN_A_STEP: dict[str, Callable[[Evaluation, OutputFiles], Evaluation]] = {
    **{name: partial(_say_and_end, output=text) for name, text in MESSAGES.items()},
    "exit-code": _say_and_end,
    "memory": partial(_say_and_end, error="forrtl: severe (41)\nAllocation would exceed memory limit\n"),
    "not-converging": _not_converged,
    "energy-jump": _energy_jump,
    "nan-forces": _nan_forces,
    "hang": _hang,
    "full-disk": _fill_disk,
    "take-memory": _take_memory,
    "crash": partial(_killed, by=signal.SIGSEGV),
    "killed": partial(_killed, by=signal.SIGKILL),
    "terminated": partial(_killed, by=signal.SIGTERM),
}
"""What strikes in an ionic step, before it is written: each ends the run, never ends, or gives what is to be written."""

LASTING = frozenset({"not-converging", "nan-forces"})
"""Those that are there in all steps from then on."""

AT_THE_END: dict[str, tuple[str, Callable[[Path], None]]] = {
    **{f"truncated-{name}": (name, _truncated) for name in ("vasprun.xml", "OUTCAR", "OSZICAR", "CONTCAR", "XDATCAR")},
    "star-forces": ("vasprun.xml", _starred),
}
"""What happens to a file when the run has ended well."""

NAMES = (*IN_A_STEP, *AT_THE_END)


@dataclass(frozen=True)
class Fault:
    """A fault that was asked for.

    Attributes
    ----------
    name
        One of ``NAMES``.
    step
        Ionic step in which it strikes, counted from 1. Files are spoilt at the end.
    times
        Executions in one folder in which it strikes.
    certain
        Whether a run that ends before it fails.
    """

    name: str
    step: int
    times: int
    certain: bool = True


def read_fault(text: str) -> Fault:
    """Read ``NAME@STEP`` or ``NAME@STEPxTIMES``, and perhaps ``?``.

    Parameters
    ----------
    text
        For example ``zbrent@2``.

    Returns
    -------
    Fault
        What it says.

    Raises
    ------
    VaspXtbStop
        If it is something else, or no fault has that name.
    """
    found = re.fullmatch(r"(?P<name>[\w.-]+)@(?P<step>[1-9][0-9]*)(x(?P<times>[1-9][0-9]*))?(?P<maybe>\?)?", text)
    if found is None or found["name"] not in NAMES:
        raise VaspXtbStop(f"fault {text!r}: not NAME@STEP or NAME@STEPxTIMES with one of {', '.join(NAMES)}")
    return Fault(found["name"], int(found["step"]), int(found["times"] or 1), certain=found["maybe"] is None)


class Faults:
    """A fault in one run.

    Parameters
    ----------
    fault
        What strikes; None for a run without faults.
    directory
        Of the run.
    outputs
        Its files.
    """

    def __init__(self, fault: Fault | None, directory: Path, outputs: OutputFiles) -> None:
        self._directory = directory
        self._outputs = outputs
        self._fault = fault if fault is not None and self._struck_before(fault) < fault.times else None
        self._steps = 0

    def ionic_step(self, positions: np.ndarray, cell: np.ndarray, evaluation: Evaluation) -> None:
        """Break in the step of the fault, or write an ionic step as the fault makes it.

        Parameters
        ----------
        positions : (n, 3) array
            Fractional coordinates.
        cell : (3, 3) array
            Å.
        evaluation
            Energy, forces, stress.
        """
        self._steps += 1
        self._outputs.ionic_step(positions, cell, self._struck(evaluation))

    def at_the_end(self) -> None:
        """Spoil the file that was to be spoilt.

        Raises
        ------
        VaspXtbStop
            If the run ended before the step of the fault.
        """
        if self._fault is None:
            return
        if self._steps < self._fault.step:
            if not self._fault.certain:
                return
            raise VaspXtbStop(
                f"fault {self._fault.name}@{self._fault.step}: the run ended after {self._steps} ionic steps"
            )
        if self._fault.name in AT_THE_END:
            self._count(self._fault)
            name, spoil = AT_THE_END[self._fault.name]
            spoil(self._directory / name)

    def _struck(self, evaluation: Evaluation) -> Evaluation:
        fault = self._fault
        if fault is None or fault.name not in IN_A_STEP or self._steps < fault.step:
            return evaluation
        if self._steps == fault.step:
            self._count(fault)
        elif fault.name not in LASTING:
            return evaluation
        return IN_A_STEP[fault.name](evaluation, self._outputs)

    def _struck_before(self, fault: Fault) -> int:
        try:
            return (self._directory / FAULTS_FILE).read_text(encoding="utf-8").split().count(fault.name)
        except FileNotFoundError:
            return 0

    def _count(self, fault: Fault) -> None:
        with (self._directory / FAULTS_FILE).open("a", encoding="utf-8") as file:
            file.write(f"{fault.name}\n")
            file.flush()
            os.fsync(file.fileno())
