"""One reference relaxation: write the inputs, let custodian run and mend the executable, read what came out.

Nothing the executable leaves behind is believed unless it ended by itself: exit code, completeness of the files, the
program's own name in them, and that custodian's corrections left the energy surface alone, are all checked.
"""

import logging
import math
import os
import time
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from custodian import Custodian
from custodian.custodian import CustodianError, NonRecoverableError
from custodian.utils import tracked_lru_cache
from custodian.vasp.handlers import WalltimeHandler
from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import UnknownPotcarWarning
from pymatgen.io.vasp.outputs import UnconvergedVASPWarning

from defect_surrogate.errors import (
    DefectSurrogateError,
    MemoryExceededError,
    ReferenceDivergedError,
    ReferenceInputError,
    ReferenceInterruptedError,
    ReferenceRunError,
    StoppedError,
)
from defect_surrogate.relaxation import Relaxation, Segment
from defect_surrogate.vasp.checks import check_corrections, check_program, check_whole, in_order_of
from defect_surrogate.vasp.command import Execution, drop_large_files, find_command, guarded_command, link_large_files
from defect_surrogate.vasp.handlers import (
    DivergedHandler,
    Limit,
    ReferenceJob,
    StoppedHandler,
    handlers,
    walltime_buffer,
)
from defect_surrogate.vasp.inputs import ReferenceMethod, write_inputs
from defect_surrogate.vasp.memory import processes_killed_for_memory
from defect_surrogate.vasp.parse import parse_run, read_corrections
from defect_surrogate.vasp.segments import continued, remaining_steps

_REFUSALS = ("Error reading item", "Error code was IERR= 5")
"""VASP's words for an INCAR it cannot read."""
_MEMORY = ("Allocation would exceed memory limit", "oom-kill", "oom_kill", "Out Of Memory")
"""Words of VASP, and of the batch systems and launchers that end it, for a lack of memory."""
_DISK = ("No space left on device", "Disk quota exceeded")
_STAND_IN_REFUSAL = "I REFUSE TO CONTINUE WITH THIS SICK JOB"
_POLLING = 0.5
"""Seconds between two looks at whether the executable has ended."""
MONITORING, MONITORING_STAND_IN = 300.0, 15.0
"""Seconds between two looks of custodian's monitors at a run of VASP, and of its stand-in, whose steps are short."""
_WALLTIME_START = "CUSTODIAN_WALLTIME_START"

_log = logging.getLogger(__name__)


def relax_with_vasp(
    structure: Structure,
    method: ReferenceMethod,
    *,
    directory: Path,
    execution: Execution = Execution(),  # noqa: B008  (frozen)
    limit: Limit = Limit(),  # noqa: B008
    earlier: Sequence[Segment] = (),
) -> Relaxation:
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
        Where to run, made if it does not exist; best a fresh one. It keeps all files but those in the scratch directory.
    execution
        How the executable is started in this job.
    limit
        When this job wants it to end.
    earlier
        What interrupted runs have done already; the relaxation goes on from their last step.

    Returns
    -------
    Relaxation
        Sites, forces and frames in the order of ``structure``. Steps and frames are those of the last execution of each
        run, where custodian's corrections (in the provenance) restarted it; seconds are those of all. ``reason`` is ``step
        limit`` where NSW was used up, ``time limit`` where the walltime of the settings ended it, ``stopped`` where the
        limit of this job did.

    Raises
    ------
    ReferenceInputError
        If the executable is missing or refuses its inputs.
    ReferenceDivergedError
        If the energy fell by more than any bond can give, or energy or forces ended absurd.
    ReferenceInterruptedError
        If something else ended the executable, or cut its output.
    MemoryExceededError
        If it needs more memory than there is.
    StoppedError
        If it was ended on request.
    ReferenceRunError
        Naming the directory, exit code or signal, what custodian's handlers found and the last lines of vasp.out, if the
        run broke, could not be corrected, was corrected in a way that changes the energy surface, or left output that
        cannot be believed. No other error leaves here, and no error with a cause: Dask sends causes along, and those of
        custodian break on the way.
    """
    try:
        return _relaxed(structure, method, directory, execution=execution, limit=limit, earlier=tuple(earlier))
    except DefectSurrogateError as error:
        _log.debug("%s", directory, exc_info=True)
        broke = error
    except Exception as error:
        _log.debug("%s", directory, exc_info=True)
        broke = ReferenceRunError(f"{directory}: {type(error).__name__}: {error}")
    broke.__cause__ = broke.__context__ = None
    raise broke


def _relaxed(
    structure: Structure,
    method: ReferenceMethod,
    directory: Path,
    *,
    execution: Execution,
    limit: Limit,
    earlier: tuple[Segment, ...],
) -> Relaxation:
    method = replace(method, command=(*execution.launcher, *method.command))
    command = find_command(method.command)
    start = earlier[-1].frames[-1].structure if earlier else structure
    asked = remaining_steps(method, earlier)
    write_inputs(start, asked, directory)
    link_large_files(directory, execution.scratch)
    threads = 1 if method.is_stand_in else execution.threads  # the settings count its processes
    job = ReferenceJob(guarded_command(command, threads=threads), auto_gamma=False, backup=False, terminate_timeout=10)
    by_settings = False
    if method.walltime is not None:
        left = max(1.0, method.walltime - sum(segment.seconds for segment in earlier))
        own = Limit(left, walltime_buffer(left), limit.stopped)
        by_settings = own.seconds - own.margin <= limit.seconds - limit.margin
        limit = own if by_settings else limit
    _log.info("%s: starting %s", directory, " ".join(command))
    started = time.monotonic()
    try:
        timed_out = _run(job, method, directory, limit)
    finally:
        drop_large_files(directory)
    seconds = time.monotonic() - started
    relaxation = parse_run(directory)
    check_program(relaxation, method, directory)
    check_whole(directory)
    check_corrections(relaxation.provenance.corrections, asked, directory)
    if timed_out and not relaxation.converged:
        of = f"walltime {method.walltime} s" if by_settings else f"{limit.seconds:.0f} s that its job had left"
        detail = f"{relaxation.detail}; stopped after {seconds:.0f} s, for the sake of the {of}"
        relaxation = replace(relaxation, reason="time limit" if by_settings else "stopped", detail=detail)
    provenance = replace(relaxation.provenance, method=method.digest, seconds=seconds)
    cell_moves = int(str(method.incar.get("ISIF", 2))) > 2
    relaxation = in_order_of(structure, replace(relaxation, provenance=provenance), directory, cell_moves=cell_moves)
    return continued(relaxation, earlier)


def _run(job: ReferenceJob, method: ReferenceMethod, directory: Path, limit: Limit) -> bool:
    """Run custodian; return whether the limit of its time ended the executable."""
    os.environ.pop(_WALLTIME_START, None)  # an earlier run in this process leaves its own start behind
    monitoring = MONITORING_STAND_IN if method.is_stand_in else MONITORING
    if math.isfinite(limit.seconds):
        monitoring = min(monitoring, max(1.0, limit.margin / 2))
    custodian = Custodian(
        handlers(job, method, limit),
        [job],
        validators=[VasprunXMLValidator(), VaspFilesValidator()],
        max_errors=method.max_errors,
        polling_time_step=_POLLING,
        monitor_freq=max(1, round(monitoring / _POLLING)),
        directory=str(directory),
    )
    tracked_lru_cache.tracked_cache_clear()
    killed_before = processes_killed_for_memory()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnconvergedVASPWarning)  # that is a result, and told as one
            if method.is_stand_in:
                warnings.simplefilter("ignore", UnknownPotcarWarning)
            run_log = custodian.run()
    except Exception as error:  # custodian's own, or a handler stumbling over half-written files
        failure = _failure(job, method, directory, error)
        if isinstance(failure, ReferenceInterruptedError) and processes_killed_for_memory() > killed_before:
            failure = MemoryExceededError(f"{failure}; the kernel killed it for a lack of memory")
        raise failure from error
    finally:
        tracked_lru_cache.tracked_cache_clear()  # keyed by path: the next run in this path would be given this one's files
        os.environ.pop(_WALLTIME_START, None)
        if job.exit_code is None and hasattr(job, "_vasp_process"):
            job.terminate(str(directory))
    timed_out = isinstance(run_log[-1]["handler"], WalltimeHandler)
    if timed_out and job.exit_code != 0:  # custodian asks neither exit code nor validators then
        raise _failure(job, method, directory, RuntimeError("broke while it was being stopped for its walltime"))
    return timed_out


def _failure(job: ReferenceJob, method: ReferenceMethod, directory: Path, error: Exception) -> DefectSurrogateError:
    """Say what broke, and by its type whether another attempt can help."""
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
    handler = getattr(error, "handler", None)
    if isinstance(handler, StoppedHandler):
        return StoppedError(f"{directory}: stopped on request")
    if isinstance(handler, DivergedHandler):
        return ReferenceDivergedError(message)
    if any(text in words for text in _MEMORY):
        return MemoryExceededError(message)
    without_a_word = code not in (0, None) and not found and not refused
    if (job.killed_by and not job.stopped_by_custodian) or without_a_word or any(text in words for text in _DISK):
        return ReferenceInterruptedError(message)
    return ReferenceInputError(message) if refused else ReferenceRunError(message)


def _tail(path: Path, lines: int) -> list[str]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        return list(deque(file, lines))
