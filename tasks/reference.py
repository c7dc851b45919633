"""The task that relaxes one unit with VASP: look it up in the archive, else do the work and publish.

VASP runs in a directory of this attempt alone, so that two workers with the same unit never write to the same files; the
archive keeps what the first of them publishes.
"""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from defect_surrogate.archive import Archive
from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.vasp import ReferenceMethod, relax_with_vasp
from tasks.attempts import may_pass_next_time, unit_name


@task(
    name="relax-with-reference",
    task_run_name=unit_name,
    retry_condition_fn=may_pass_next_time,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def relax_reference_unit(unit: Unit, method: ReferenceMethod, archive_root: Path) -> Relaxation:
    """Relax a unit with VASP or its stand-in, unless the archive has it.

    Parameters
    ----------
    unit
        Structure to relax, at level ``reference``.
    method
        Inputs and executable.
    archive_root
        Directory of the archive.

    Returns
    -------
    Relaxation
        As archived, without frames.

    Raises
    ------
    ReferenceInputError
        If the executable does not start, or a limit of the settings ended it.
    ReferenceRunError
        If it ended without a result that can be believed.
    ArchiveError
        If the result cannot be archived.
    """
    archive = Archive(archive_root)
    if (finished := archive.find(unit)) is not None:
        return finished
    with archive.attempt(unit) as directory:
        relaxation = relax_with_vasp(unit.structure, method, directory=directory)
        if not relaxation.finished:
            raise ReferenceInputError(
                f"{unit.name}: ended by a {relaxation.reason} ({relaxation.detail}); allow it more"
            )
        return archive.publish(unit, relaxation, files=directory, leave_out=("POTCAR",))  # licensed
