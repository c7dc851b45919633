"""One reference relaxation: write the inputs, let custodian run and mend the executable, read what came out.

Nothing the executable leaves behind is believed unless it ended by itself: exit code, completeness of the files, the
program's own name in them, and that custodian's corrections left the energy surface alone, are all checked.
"""

import logging
import os
import time
import warnings
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from custodian import Custodian
from custodian.custodian import CustodianError, NonRecoverableError
from custodian.utils import tracked_lru_cache
from custodian.vasp.handlers import WalltimeHandler
from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, UnknownPotcarWarning
from pymatgen.io.vasp.outputs import UnconvergedVASPWarning

from defect_surrogate.errors import DefectSurrogateError, ReferenceDivergedError, ReferenceInputError, ReferenceRunError
from defect_surrogate.relaxation import Frame, Relaxation
from defect_surrogate.vasp.command import find_command, guarded_command
from defect_surrogate.vasp.handlers import DivergedHandler, ReferenceJob, handlers, walltime_buffer
from defect_surrogate.vasp.inputs import ReferenceMethod, grouped_order, write_inputs
from defect_surrogate.vasp.parse import parse_run, read_corrections

PATH_TAGS = frozenset(
    (
        *("ALGO", "AMIN", "AMIX", "AMIX_MAG", "BMIX", "BMIX_MAG", "EDIFF", "IALGO"),
        *("IBRION", "ICHARG", "IMIX", "IOPT", "ISEARCH", "ISTART", "ISYM", "KPAR"),
        *("LORBIT", "LPLANE", "NBANDS", "NCORE", "NELM", "NELMDL", "NELMIN", "NPAR"),
        *("NSIM", "POTIM", "SMASS", "SYMPREC", "TIME"),
    )
)
"""INCAR tags that decide how the minimum is reached, not where it is; custodian may change them."""

_REFUSALS = ("Error reading item", "Error code was IERR= 5")
"""VASP's words for an INCAR it cannot read."""
_STAND_IN_REFUSAL = "I REFUSE TO CONTINUE WITH THIS SICK JOB"
_POLLING = 0.5
"""Seconds between two looks at whether the executable has ended."""
MONITORING, MONITORING_STAND_IN = 300.0, 15.0
"""Seconds between two looks of custodian's monitors at a run of VASP, and of its stand-in, whose steps are short."""
_WALLTIME_START = "CUSTODIAN_WALLTIME_START"

_log = logging.getLogger(__name__)


def relax_with_vasp(structure: Structure, method: ReferenceMethod, *, directory: Path) -> Relaxation:
    """Relax a structure with the executable of a method.

    custodian asks every half second whether the executable has ended, and its monitors every 15 s (5 min for VASP),
    more often if the walltime is short. The handlers and the reasons for each are in ``defect_surrogate.vasp.handlers``.

    Parameters
    ----------
    structure
        n ordered sites, in any order.
    method
        From ``reference_method``.
    directory
        Where to run, made if it does not exist; best a fresh one. It keeps all files.

    Returns
    -------
    Relaxation
        Sites, forces and frames in the order of ``structure``. Steps and frames are those of the last execution,
        where custodian's corrections (in the provenance) restarted it; seconds are those of all. ``reason`` is ``step
        limit`` where NSW was used up, ``time limit`` where the walltime of the settings ended it.

    Raises
    ------
    ReferenceInputError
        If the executable is missing or refuses its inputs.
    ReferenceDivergedError
        If the energy fell by more than any bond can give, or energy or forces ended absurd.
    ReferenceRunError
        Naming the directory, exit code or signal, what custodian's handlers found and the last lines of vasp.out, if the
        run broke, could not be corrected, was corrected in a way that changes the energy surface, or left output that
        cannot be believed. No other error leaves here, and no error with a cause: Dask sends causes along, and those of
        custodian break on the way.
    """
    try:
        return _relaxed(structure, method, directory)
    except DefectSurrogateError as error:
        _log.debug("%s", directory, exc_info=True)
        broke = error
    except Exception as error:
        _log.debug("%s", directory, exc_info=True)
        broke = ReferenceRunError(f"{directory}: {type(error).__name__}: {error}")
    broke.__cause__ = broke.__context__ = None
    raise broke


def _relaxed(structure: Structure, method: ReferenceMethod, directory: Path) -> Relaxation:
    command = find_command(method.command)
    write_inputs(structure, method, directory)
    job = ReferenceJob(
        guarded_command(command, stand_in=method.is_stand_in), auto_gamma=False, backup=False, terminate_timeout=10
    )
    _log.info("%s: starting %s", directory, " ".join(command))
    started = time.monotonic()
    timed_out = _run(job, method, directory)
    seconds = time.monotonic() - started
    relaxation = parse_run(directory)
    _check_program(relaxation, method, directory)
    _check_corrections(relaxation, method, directory)
    if timed_out and not relaxation.converged:
        relaxation = replace(
            relaxation, reason="time limit", detail=f"{relaxation.detail}; walltime {method.walltime} s"
        )
    provenance = replace(relaxation.provenance, method=method.digest, seconds=seconds)
    cell_moves = int(str(method.incar.get("ISIF", 2))) > 2
    return _in_order_of(structure, replace(relaxation, provenance=provenance), directory, cell_moves=cell_moves)


def _run(job: ReferenceJob, method: ReferenceMethod, directory: Path) -> bool:
    """Run custodian; return whether the walltime ended the executable."""
    os.environ.pop(_WALLTIME_START, None)  # an earlier run in this process leaves its own start behind
    monitoring = MONITORING_STAND_IN if method.is_stand_in else MONITORING
    if method.walltime is not None:
        monitoring = min(monitoring, walltime_buffer(method.walltime) / 2)
    custodian = Custodian(
        handlers(job, method),
        [job],
        validators=[VasprunXMLValidator(), VaspFilesValidator()],
        max_errors=method.max_errors,
        polling_time_step=_POLLING,
        monitor_freq=max(1, round(monitoring / _POLLING)),
        directory=str(directory),
    )
    tracked_lru_cache.tracked_cache_clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnconvergedVASPWarning)  # that is a result, and told as one
            if method.is_stand_in:
                warnings.simplefilter("ignore", UnknownPotcarWarning)
            run_log = custodian.run()
    except Exception as error:  # custodian's own, or a handler stumbling over half-written files
        raise _failure(job, method, directory, error) from error
    finally:
        tracked_lru_cache.tracked_cache_clear()  # keyed by path: the next run in this path would be given this one's files
        os.environ.pop(_WALLTIME_START, None)
        if job.exit_code is None and hasattr(job, "_vasp_process"):
            job.terminate(str(directory))
    timed_out = isinstance(run_log[-1]["handler"], WalltimeHandler)
    if timed_out and job.exit_code != 0:  # custodian asks neither exit code nor validators then
        raise _failure(job, method, directory, RuntimeError("broke while it was being stopped for its walltime"))
    return timed_out


def _failure(
    job: ReferenceJob, method: ReferenceMethod, directory: Path, error: Exception
) -> ReferenceInputError | ReferenceRunError:
    """Say what broke, and whether another attempt can help."""
    output = _tail(directory / "vasp.out", 200)
    code = job.exit_code
    ending = f"killed by {job.killed_by.name}" if job.killed_by else f"exit code {code}"
    words = " ".join(line.strip(" |\n") for line in deque(output, 12)) + " ".join(_tail(directory / "std_err.txt", 5))
    said = [] if isinstance(error, NonRecoverableError) else [str(error)]  # it names the address of a handler
    found = read_corrections(directory / "custodian.json") if isinstance(error, CustodianError) else ()
    what = f"{' '.join(method.command)}: {ending}; {type(error).__name__}: {'; '.join([*said, *found])}"
    message = f"{directory}: {what}; vasp.out ends: {words.strip()}"
    refused = any(text in line for line in output for text in _REFUSALS)
    before_first_step = not (directory / "OSZICAR").is_file() or "F=" not in (directory / "OSZICAR").read_text()
    if method.is_stand_in and code == 1 and before_first_step:
        refused = refused or any(_STAND_IN_REFUSAL in line for line in output)
    if isinstance(getattr(error, "handler", None), DivergedHandler):
        return ReferenceDivergedError(message)
    return ReferenceInputError(message) if refused else ReferenceRunError(message)


def _tail(path: Path, lines: int) -> list[str]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        return list(deque(file, lines))


def _check_program(relaxation: Relaxation, method: ReferenceMethod, directory: Path) -> None:
    """Refuse output of a program other than the one asked for."""
    wrote = dict(relaxation.provenance.versions)
    if ("vasp-xtb" in wrote) != method.is_stand_in:
        raise ReferenceInputError(
            f"{directory}: {' '.join(method.command)} was to be {method.executable}, but the output is of "
            f"{relaxation.provenance.level_of_theory}: name vasp-xtb in vasp_cmd if that is meant"
        )
    if method.is_stand_in and f"vasp-xtb {wrote['vasp-xtb']}, tblite {wrote.get('tblite')}" != method.executable:
        raise ReferenceInputError(f"{directory}: was to be {method.executable}, but the output is of {wrote}")


def _check_corrections(relaxation: Relaxation, method: ReferenceMethod, directory: Path) -> None:
    """Refuse a result of another energy surface than the one asked for."""
    if not relaxation.provenance.corrections:
        return
    asked, used = Incar(dict(method.incar)), Incar.from_file(directory / "INCAR")
    changed: dict[str, Any] = {
        tag: used.get(tag)
        for tag in sorted(asked.keys() | used.keys())
        if tag not in PATH_TAGS and str(used.get(tag)) != str(asked.get(tag))
    }
    mesh_asked, mesh_used = Kpoints.from_str(method.kpoints), Kpoints.from_file(directory / "KPOINTS")
    if mesh_asked.kpts != mesh_used.kpts or (mesh_asked.style != mesh_used.style and mesh_asked.kpts != [(1, 1, 1)]):
        changed["KPOINTS"] = mesh_used.kpts
    if changed:
        raise ReferenceRunError(
            f"{directory}: corrected by {'; '.join(relaxation.provenance.corrections)}: with {changed} the energy cannot be "
            "compared with others; put the change into the settings, for all"
        )


def _in_order_of(structure: Structure, relaxation: Relaxation, directory: Path, *, cell_moves: bool) -> Relaxation:
    """Return a relaxation with sites and forces in the order of its start."""
    order = grouped_order(structure)
    symbols = [structure[index].specie.symbol for index in order]
    found = [site.specie.symbol for site in relaxation.structure]
    if found != symbols:
        raise ReferenceRunError(f"{directory}: POSCAR had the atoms {symbols}, the output has {found}")
    position = np.argsort(order)
    frames = tuple(_reordered(frame, structure, position) for frame in relaxation.frames)
    lattice = frames[-1].structure.lattice
    if not cell_moves and not np.allclose(lattice.matrix, structure.lattice.matrix, atol=1e-4):
        raise ReferenceRunError(f"{directory}: the cell was to stay {structure.lattice.abc} and became {lattice.abc}")
    return replace(relaxation, structure=frames[-1].structure, frames=frames)


def _reordered(frame: Frame, start: Structure, position: np.ndarray) -> Frame:
    ordered = Structure(
        frame.structure.lattice,
        start.species,
        frame.structure.frac_coords[position],
        site_properties=start.site_properties,
    )
    return replace(frame, structure=ordered, forces=frame.forces[position])
