"""The task that relaxes one unit with VASP: look it up in the archive, else do the work and publish.

VASP runs in a directory of this attempt alone, so that two workers with the same unit never write to the same files; the
archive keeps what the first of them publishes. Where an attempt is interrupted, the next goes on from its last ionic step.
"""

import math
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from defect_surrogate.archive import Archive, keep_segment, left_behind, read_segments
from defect_surrogate.errors import (
    JobEndsError,
    MemoryExceededError,
    ReferenceInputError,
    ReferenceInterruptedError,
    StoppedError,
)
from defect_surrogate.relaxation import Segment, Unit
from defect_surrogate.vasp import LARGE_FILES, Execution, Limit, ReferenceMethod, interrupted_steps, relax_with_vasp
from tasks.job import leave_job, remaining_seconds
from tasks.names import unit_name

NOT_KEPT = ("POTCAR", *LARGE_FILES)
"""Licensed, or too large."""


@task(name="relax-with-reference", task_run_name=unit_name, cache_policy=NO_CACHE, persist_result=False)
def relax_reference_unit(
    unit: Unit,
    method: ReferenceMethod,
    archive_root: Path,
    execution: Execution = Execution(),  # noqa: B008  (frozen)
    *,
    margin: float = 0.0,
    driver: str = "",
) -> None:
    """Relax a unit with VASP or its stand-in, unless the archive has it.

    Parameters
    ----------
    unit
        Structure to relax, at level ``reference``.
    method
        Inputs and executable.
    archive_root
        Directory of the archive, which holds the unit afterwards.
    execution
        How the executable is started in this job.
    margin
        Seconds before the end of the job at which it is told to end.
    driver
        Name of the driver that gave it out, with which it ends.

    Raises
    ------
    ReferenceInputError
        If the executable does not start, or a limit of the settings ended it.
    ReferenceRunError
        If it ended without a result that can be believed.
    ReferenceInterruptedError, MemoryExceededError
        If something else ended it, or it needs more memory than the job has.
    JobEndsError
        If the job ends before it; what is done is kept, and this worker takes no more work.
    StoppedError
        If the archive was told to stop, or the driver has ended.
    ArchiveError
        If the result cannot be archived.
    """
    archive = Archive(archive_root)
    if archive.find(unit) is not None:
        return
    earlier = read_segments(archive, unit)
    if any(_keep(archive, unit, method, directory, earlier) for directory in left_behind(archive, unit)):
        earlier = read_segments(archive, unit)
    left = remaining_seconds()
    if left <= margin:
        leave_job()
        raise JobEndsError(f"{unit.name}: not begun, {left:.0f} s before the end of its job")
    with archive.attempt(unit, after=len(earlier), driver=driver) as directory:
        try:
            relaxation = relax_with_vasp(
                unit.structure,
                method,
                directory=directory,
                execution=execution,
                limit=Limit(left, margin, lambda: archive.stop_requested(driver)),
                earlier=earlier,
            )
        except (StoppedError, ReferenceInterruptedError, MemoryExceededError):
            _keep(archive, unit, method, directory, earlier)
            raise
        if not relaxation.finished:
            if math.isfinite(left):
                leave_job()
            _keep(archive, unit, method, directory, earlier)
            if relaxation.reason == "time limit" or math.isinf(left):
                raise ReferenceInputError(
                    f"{unit.name}: ended by a {relaxation.reason} ({relaxation.detail}); allow it more"
                )
            raise JobEndsError(f"{unit.name}: {relaxation.detail}")
        archive.publish(unit, relaxation, files=directory, leave_out=NOT_KEPT)


def _keep(archive: Archive, unit: Unit, method: ReferenceMethod, directory: Path, earlier: tuple[Segment, ...]) -> bool:
    """Keep what a run has done that went on from some segments; return whether it is the next one now."""
    segment = interrupted_steps(directory, unit.structure, method, earlier)
    return segment is not None and keep_segment(
        archive, unit, segment, after=len(earlier), files=directory, leave_out=NOT_KEPT
    )
