"""The task that relaxes units with the force field: look them up in the archive, else do the work and publish.

Each unit is published as soon as it has ended: Dask runs a task again when its worker dies, and finds in the archive what was
finished, and beside it how far the others were. Prefect neither keeps nor caches results, since its keys do not survive
pickling.
"""

import contextlib
import functools
import time
from collections.abc import Iterator
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run
from pymatgen.core import Structure

from defect_surrogate.archive import Archive
from defect_surrogate.errors import ServiceError
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import Potential, load_potential, relaxations
from tasks.attempts import may_pass_next_time


def units_name() -> str:
    """Return the name of the unit of the running task, or of the first of its units and how many follow."""
    first, *others = task_run.parameters["units"]
    return f"{first.name} and {len(others)} more" if others else str(first.name)


@task(
    name="relax-with-surrogate",
    task_run_name=units_name,
    retry_condition_fn=may_pass_next_time,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def relax_surrogate_units(units: tuple[Unit, ...], archive_root: Path, settings: SurrogateSettings) -> None:
    """Relax units with the force field as one batch, unless the archive has them.

    Parameters
    ----------
    units
        At level ``surrogate``.
    archive_root
        Directory of the archive, which holds all of them afterwards.
    settings
        Force field and convergence.

    Raises
    ------
    PotentialError
        If the force field cannot be loaded, or a structure does not fit into memory; after the others were relaxed.
    ArchiveError
        If a result cannot be archived.
    ServiceError
        If the archive was told to stop.
    """
    archive = Archive(archive_root)
    missing = [unit for unit in units if archive.find(unit) is None]
    broken: list[Exception] = []
    with contextlib.ExitStack() as attempts:
        begun: list[contextlib.ExitStack] = []

        def starts() -> Iterator[Structure]:
            for unit in missing:
                begun.append(attempts.enter_context(contextlib.ExitStack()))
                begun[-1].enter_context(archive.attempt(unit))
                yield unit.structure

        ended = relaxations(
            starts(),
            _potential(settings.potential),
            settings=settings,
            unfinished=lambda index: archive.unfinished(missing[index]),
            stopped=_StopRequested(archive),
        )
        for index, result in ended:
            if isinstance(result, Relaxation) and result.finished:
                archive.publish(missing[index], result)
                begun[index].close()
            else:
                error = (
                    result if isinstance(result, Exception) else ServiceError(f"{missing[index].name}: {result.detail}")
                )
                begun[index].__exit__(type(error), error, None)
                broken.append(error)
    if broken:
        raise broken[0]


class _StopRequested:
    """Whether the archive was told to stop, looked up once a second at most."""

    def __init__(self, archive: Archive) -> None:
        self._archive, self._looked, self._found = archive, 0.0, False

    def __call__(self) -> bool:
        if time.monotonic() - self._looked > 1:
            self._looked, self._found = time.monotonic(), self._archive.stop_requested()
        return self._found


@functools.lru_cache(maxsize=1)
def _potential(name: str) -> Potential:
    """Load a force field once in each worker process."""
    return load_potential(name)
