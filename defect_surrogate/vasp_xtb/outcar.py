"""OUTCAR: the parts that people, pymatgen, ASE, custodian and ShakeNBreak read, with more digits than VASP prints."""

import resource
import time
from typing import TextIO

import numpy as np
from ase.units import GPa

from . import NATURE, VERSION
from .engine import Evaluation, electronic_temperature, scc_accuracy, tblite_version
from .inputs import Job, perpendicular_widths
from .relax import Ending

KILOBAR = 0.1 * GPa
"""eV/Å³."""
_OPTIMISERS = {
    1: "quasi-Newton, here ASE's L-BFGS",
    2: "conjugate gradient, here ASE's BFGS with line search",
    3: "damped, here ASE's FIRE",
}


class Outcar:
    """Writer of one OUTCAR.

    Parameters
    ----------
    file
        Open for writing; flushed and closed by its owner.
    job
        The run.
    """

    def __init__(self, file: TextIO, job: Job) -> None:
        self._file = file
        self._job = job
        self._steps = 0
        self._started = self._step_started = time.monotonic()

    def header(self) -> None:
        """Write what comes before the first SCC cycle and does not depend on the basis."""
        job, settings, poscar = self._job, self._job.settings, self._job.poscar
        potcar_lines = [f" POTCAR:    {potential.titel}" for potential in job.potentials]
        widths = " x ".join(f"{width:.3f}" for width in perpendicular_widths(poscar.cell))
        self._lines(
            f" {NATURE}",
            f" version {VERSION}, {settings.method} by tblite {tblite_version()}",
            " executed on date " + time.strftime("%Y.%m.%d  %H:%M:%S"),
            " running on    1 total cores",
            "",
            " INCAR:",
            *(f"   {tag} = {value}" for tag, value in settings.tags),
            *potcar_lines,
            *potcar_lines,
            *(f"   ADVICE: {advice}" for advice in job.advice),
            "",
            " What stands behind the tags here (all others are echoed only):",
            f"   XTB_METHOD    = {settings.method}; no plane waves, no pseudopotential, no exchange-correlation functional",
            f"   XTB_MIN_WIDTH = {settings.min_width:g} A; the cell is {widths} A wide",
            f"   EDIFF         = {settings.ediff:g} eV: SCC accuracy of tblite {scc_accuracy(settings.ediff):g}",
            f"   electronic temperature {electronic_temperature(settings):.1f} K, Fermi occupations;",
            "   its entropy is part of the energies below and is not given apart",
            f"   IBRION        = {settings.ibrion}: {_OPTIMISERS.get(settings.ibrion, 'ions do not move')}",
            f"   charge of the cell {job.charge:g} e, unpaired electrons {job.unpaired}",
            "",
            "   ions per type =         " + "".join(f"{count:6d}" for count in poscar.counts),
            "",
            f" SYSTEM =  {settings.system}",
            f" POSCAR =  {poscar.comment}",
            "",
            f"   ISPIN  = {settings.ispin:6d}    spin polarized calculation?",
            f"   ENCUT  = {settings.encut or 0.0:8.1f} eV  without effect",
            f"   NELM   = {settings.nelm:6d};   NELMIN=      2; NELMDL=      0     # of ELM steps",
            f"   EDIFF  = {settings.ediff:.1E}   stopping-criterion for ELM",
            f"   EDIFFG = {settings.ediffg:.1E}   stopping-criterion for IOM",
            f"   NSW    = {settings.nsw:6d}    number of steps for IOM",
            f"   IBRION = {settings.ibrion:6d}    ionic relax: 0-MD 1-quasi-New 2-CG",
            f"   ISIF   = {settings.isif:6d}    stress and relaxation",
            f"   POTIM  = {settings.potim:8.4f}    time-step for ionic-motion",
            f"   NELECT = {job.nelect:12.4f}    total number of electrons",
            f"   NUPDOWN= {job.unpaired:12.4f}    fix difference up-down",
            f"   ISMEAR = {settings.ismear:6d};   SIGMA  = {settings.sigma:6.2f}  broadening in eV",
            "",
        )

    def ionic_step(self, positions: np.ndarray, cell: np.ndarray, evaluation: Evaluation) -> None:
        """Write an ionic step.

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
        if self._steps == 1:
            self._basis(len(evaluation.eigenvalues))
        self._electronic_steps(evaluation)
        self._stress(cell, evaluation.stress)
        self._lattice(cell)
        self._forces(positions @ cell, evaluation.forces)
        energy = evaluation.energy
        self._lines(
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
            "  ---------------------------------------------------",
            f"  free  energy   TOTEN  = {energy:22.8f} eV",
            "",
            f"  energy  without entropy={energy:22.8f}  energy(sigma->0) ={energy:22.8f}",
            "",
        )
        now = time.monotonic()
        seconds, self._step_started = now - self._step_started, now
        self._lines(f"     LOOP+:  cpu time {seconds:10.4f}: real time {seconds:10.4f}", "")

    def finish(self, ending: Ending) -> None:
        """Write the reason of the end and the accounting.

        Parameters
        ----------
        ending
            Why the ionic loop ended.
        """
        if ending is Ending.CONVERGED:
            self._lines(" reached required accuracy - stopping structural energy minimisation")
        if ending in (Ending.LSTOP, Ending.LABORT):
            kind = "soft" if ending is Ending.LSTOP else "hard"
            self._lines(f" {kind} stop encountered!  aborting job ...")
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._lines(
            "",
            "",
            f" {NATURE}",
            " General timing and accounting informations for this job:",
            " ========================================================",
            "",
            f"                  Total CPU time used (sec): {usage.ru_utime + usage.ru_stime:12.3f}",
            f"                            User time (sec): {usage.ru_utime:12.3f}",
            f"                          System time (sec): {usage.ru_stime:12.3f}",
            f"                         Elapsed time (sec): {time.monotonic() - self._started:12.3f}",
            "",
            f"                   Maximum memory used (kb): {usage.ru_maxrss:12d}.",
            "",
        )

    def _lines(self, *lines: str) -> None:
        self._file.write("\n".join(lines) + "\n")

    def _basis(self, bands: int) -> None:
        """Write the sizes that are known once tblite has set up its basis."""
        self._lines(
            f"   k-points           NKPTS = {1:6d}   k-points in BZ     NKDIM = {1:6d}   number of bands    NBANDS= {bands:6d}",
            f"   number of dos      NEDOS = {301:6d}   number of ions     NIONS = {len(self._job.poscar.symbols):6d}",
            f"   total plane-waves  NPLWV = {bands:6d} (atomic orbitals: there are no plane waves)",
            "",
            " k-points in reciprocal lattice and weights: Gamma only",
            "   0.00000000  0.00000000  0.00000000       1.000",
            "",
        )

    def _electronic_steps(self, evaluation: Evaluation) -> None:
        electrons = self._job.nelect
        magnetisation = ""
        if self._job.settings.ispin == 2:
            magnetisation = f"{np.subtract(*evaluation.occupations.sum(axis=1)):15.7f}"
        for step in evaluation.steps:
            self._lines(
                "",
                f"--------------------------------------- Iteration {self._steps:6d}({step.number:4d})  "
                "---------------------------------------",
                "",
                f"    total energy-change (2. order) : {step.change:16.7E}  ({step.density_change:14.7E})",
                f" number of electron {electrons:15.7f} magnetization {magnetisation}",
                "",
                " Free energy of the ion-electron system (eV)",
                "  ---------------------------------------------------",
                "  entropy T*S    EENTRO =         0.00000000",
                f"  free energy    TOTEN  = {step.energy:22.8f} eV",
                f"  energy without entropy ={step.energy:22.8f}  energy(sigma->0) ={step.energy:22.8f}",
                "",
            )
        if evaluation.converged:
            self._lines(
                "", "------------------------ aborting loop because EDIFF is reached ----------------------------", ""
            )
        else:
            self._lines(
                "",
                f" WARNING: The electronic self-consistency was not achieved in {self._job.settings.nelm} steps (NELM)",
                "",
            )
        self._lines(f" E-fermi : {evaluation.fermi:9.4f}     XC(G=0):   0.0000     alpha+bet :  0.0000", "")

    def _stress(self, cell: np.ndarray, stress: np.ndarray) -> None:
        """Write the stress in VASP's sign and order (XX YY ZZ XY YZ ZX), as energy in eV and as kB."""
        kilobar = -stress / KILOBAR
        energy = -stress * abs(np.linalg.det(cell))
        order = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))
        pressure = np.trace(kilobar) / 3
        self._lines(
            "  FORCE on cell =-STRESS in cart. coord.  units (eV):",
            "  Direction    XX          YY          ZZ          XY          YZ          ZX",
            "  --------------------------------------------------------------------------------------",
            "  Total   " + "".join(f"{energy[index]:16.8f}" for index in order),
            "  in kB   " + "".join(f"{kilobar[index]:16.8f}" for index in order),
            f"  external pressure = {pressure:16.6f} kB  Pullay stress =        0.00 kB",
            "",
        )

    def _lattice(self, cell: np.ndarray) -> None:
        reciprocal = np.linalg.inv(cell).T
        self._lines(
            " VOLUME and BASIS-vectors are now :",
            f"  volume of cell : {abs(np.linalg.det(cell)):16.6f}",
            "      direct lattice vectors                 reciprocal lattice vectors",
            *(
                "".join(f"{x:20.12f}" for x in direct) + "".join(f"{x:16.9f}" for x in inverse)
                for direct, inverse in zip(cell, reciprocal, strict=True)
            ),
            "",
        )

    def _forces(self, positions: np.ndarray, forces: np.ndarray) -> None:
        rule = " " + 108 * "-"
        self._lines(
            " POSITION                                       TOTAL-FORCE (eV/Angst)",
            rule,
            *(
                "".join(f"{x:18.10f}" for x in position) + "".join(f"{x:18.10f}" for x in force)
                for position, force in zip(positions, forces, strict=True)
            ),
            rule,
            "    total drift:                      " + "".join(f"{x:18.10f}" for x in forces.sum(axis=0)),
            "",
        )
