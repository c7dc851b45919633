"""The output files of a run: written and flushed step by step, as VASP does, so that a killed run leaves what it did.

``OutputFiles`` is told of the start, each SCC cycle, each ionic step and the normal end, and passes them on to the
writers. CONTCAR is replaced as a whole by a rename. vasprun.xml gets its closing tags only on a normal end, so a run
that was killed leaves a truncated one, as VASP does.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import numpy as np

from . import NATURE, VERSION
from .engine import ElectronicStep, Evaluation, tblite_version
from .inputs import Job
from .outcar import Outcar
from .poscar import format_poscar, header_lines
from .relax import Ending
from .vasprun import Vasprun

_CYCLE_HEADER = "       N       E                     dE             d eps       ncg     rms          rms(c)"


class OutputFiles:
    """VASP's output files of one run; a context manager that closes them.

    Parameters
    ----------
    job
        The run.
    console
        Standard output, of which custodian makes vasp.out.

    Attributes
    ----------
    job
        The run.
    """

    def __init__(self, job: Job, console: TextIO) -> None:
        self.job = job
        self._console = console
        self._steps = 0
        self._energy = 0.0
        self._oszicar, self._xdatcar, outcar, vasprun = self._files = [
            (job.directory / name).open("w", encoding="utf-8")
            for name in ("OSZICAR", "XDATCAR", "OUTCAR", "vasprun.xml")
        ]
        self._outcar = Outcar(outcar, job)
        self._vasprun = Vasprun(vasprun, job)

    def __enter__(self) -> Self:
        """Write the headers."""
        self._outcar.header()
        self._vasprun.header()
        self._say(
            f" running on    1 total cores\n {NATURE}; version {VERSION}, {self.job.settings.method} by tblite "
            f"{tblite_version()}\n POSCAR found : {len(self.job.poscar.species):2d} types and "
            f"{len(self.job.poscar.symbols):7d} ions\n"
        )
        for advice in self.job.advice:
            self._say(f" ADVICE: {advice}\n")
        self._say(" entering main loop\n")
        self._flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the files as they are."""
        for file in self._files:
            file.close()

    def electronic_step(self, step: ElectronicStep) -> None:
        """Write an SCC cycle as it ends."""
        if step.number == 1:
            self._say(_CYCLE_HEADER + "\n")
            self._oszicar.write(f"{_CYCLE_HEADER}    {NATURE}\n")
        line = (
            f"DAV:{step.number:4d} {step.energy:20.12E}   {step.change:12.5E}   {step.density_change:12.5E}"
            f"{step.number:6d}   {step.density_change:9.3E}\n"
        )
        self._say(line)
        self._oszicar.write(line)
        self._oszicar.flush()

    def ionic_step(self, positions: np.ndarray, cell: np.ndarray, evaluation: Evaluation) -> None:
        """Write an ionic step to every file.

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
        if not evaluation.converged:
            self._say(
                f" WARNING: The electronic self-consistency was not achieved in the given number of steps "
                f"(NELM = {self.job.settings.nelm})\n"
            )
        magnetisation = ""
        if self.job.settings.ispin == 2:
            magnetisation = f"  mag= {np.subtract(*evaluation.occupations.sum(axis=1)):12.4f}"
        line = (
            f"{self._steps:4d} F= {evaluation.energy:.12E} E0= {evaluation.energy:.12E}"
            f"  d E ={evaluation.energy - self._energy:.6E}{magnetisation}\n"
        )
        self._energy = evaluation.energy
        self._say(line)
        self._oszicar.write(line)
        self._outcar.ionic_step(positions, cell, evaluation)
        self._vasprun.ionic_step(positions, cell, evaluation)
        self._configuration(positions, cell)
        self._flush()
        self._contcar(positions, cell)

    def finish(self, ending: Ending) -> None:
        """Write what VASP writes at a normal end.

        Parameters
        ----------
        ending
            Why the ionic loop ended.
        """
        if ending is Ending.CONVERGED:
            self._say(" reached required accuracy - stopping structural energy minimisation\n")
        if ending in (Ending.LSTOP, Ending.LABORT):
            kind = "soft" if ending is Ending.LSTOP else "hard"
            self._say(f" {kind} stop encountered!  aborting job ...\n")
        self._outcar.finish(ending)
        self._vasprun.finish()
        self._flush()

    def _say(self, text: str) -> None:
        self._console.write(text)
        self._console.flush()

    def _flush(self) -> None:
        for file in self._files:
            file.flush()

    def _title(self) -> str:
        """Return the POSCAR's comment followed by what wrote the file; a restart does not repeat it."""
        comment = self.job.poscar.comment.split(" | vasp-xtb")[0].strip()
        return f"{comment} | {NATURE}".strip(" |")

    def _configuration(self, positions: np.ndarray, cell: np.ndarray) -> None:
        """Append to XDATCAR; with a moving cell each configuration has its own header, as in VASP."""
        if self._steps == 1 or self.job.settings.moves_cell:
            lines = [self._title(), "           1", *header_lines(self.job.poscar, cell=cell)]
            self._xdatcar.write("\n".join(lines) + "\n")
        lines = [f"Direct configuration={self._steps:6d}"]
        lines += ["".join(f"{x:22.16f}" for x in position) for position in positions]
        self._xdatcar.write("\n".join(lines) + "\n")

    def _contcar(self, positions: np.ndarray, cell: np.ndarray) -> None:
        text = format_poscar(self.job.poscar, cell=cell, positions=positions, comment=self._title())
        replace_text(self.job.directory / "CONTCAR", text)


def replace_text(path: Path, text: str) -> None:
    """Write a file under another name and rename it, so that it is never seen half-written.

    Parameters
    ----------
    path
        The file.
    text
        Its content.
    """
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
