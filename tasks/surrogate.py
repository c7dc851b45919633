"""The task that relaxes one unit with the force field: look it up in the archive, else do the work and publish.

It publishes before it returns: Dask runs a finished task again when the worker that holds its result dies, and then it is found
in the archive. Prefect neither keeps nor caches results, since its keys do not survive pickling.
"""

import functools
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from defect_surrogate.archive import Archive
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import Potential, load_potential, relax
from tasks.attempts import may_pass_next_time, unit_name


@task(
    name="relax-with-surrogate",
    task_run_name=unit_name,
    retry_condition_fn=may_pass_next_time,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def relax_surrogate_unit(unit: Unit, archive_root: Path, settings: SurrogateSettings) -> Relaxation:
    """Relax a unit with the force field, unless the archive has it.

    Parameters
    ----------
    unit
        Structure to relax, at level ``surrogate``.
    archive_root
        Directory of the archive.
    settings
        Force field and convergence.

    Returns
    -------
    Relaxation
        As archived, without frames.

    Raises
    ------
    PotentialError
        If the force field cannot be loaded.
    ArchiveError
        If the result cannot be archived.
    """
    archive = Archive(archive_root)
    if (finished := archive.find(unit)) is not None:
        return finished
    with archive.attempt(unit):
        (relaxation,) = relax([unit.structure], _potential(settings.potential), settings=settings)
        return archive.publish(unit, relaxation)


@functools.lru_cache(maxsize=1)
def _potential(name: str) -> Potential:
    """Load a force field once in each worker process."""
    return load_potential(name)
