"""One run: read the input, evaluate or relax, write the output."""

from pathlib import Path
from typing import TextIO

from ase.data import atomic_numbers

from .engine import Engine, electronic_temperature, scc_accuracy
from .faults import Fault, Faults
from .inputs import read_job
from .outputs import OutputFiles
from .relax import Ending, relax


def run(directory: Path, *, console: TextIO, fault: Fault | None = None) -> Ending:
    """Run in a directory, as VASP does.

    Parameters
    ----------
    directory
        Holds POSCAR, INCAR, KPOINTS and POTCAR, and gets the output.
    console
        Standard output.
    fault
        What the run is to break by.

    Returns
    -------
    Ending
        Why the ionic loop ended.

    Raises
    ------
    VaspXtbStop
        If the input or the calculation does not allow the run to go on.
    """
    job = read_job(directory)
    with OutputFiles(job, console) as outputs:
        faults = Faults(fault, directory, outputs)
        engine = Engine(
            [atomic_numbers[symbol] for symbol in job.poscar.symbols],
            method=job.settings.method,
            charge=job.charge,
            unpaired=job.unpaired,
            accuracy=scc_accuracy(job.settings.ediff),
            temperature=electronic_temperature(job.settings),
            max_cycles=job.settings.nelm,
            on_cycle=outputs.electronic_step,
        )
        ending = relax(job, engine, record=faults.ionic_step)
        outputs.finish(ending)
    faults.at_the_end()
    if ending in (Ending.LSTOP, Ending.LABORT):
        _delete_stopcar(directory / "STOPCAR")
    return ending


def _delete_stopcar(path: Path) -> None:
    """Delete a STOPCAR that was obeyed, as VASP does; a read-only one stays, which is how schedulers keep it."""
    if path.exists() and path.stat().st_mode & 0o200:
        path.unlink()
