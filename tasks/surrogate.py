"""The task that relaxes units with the force field: look them up in the archive, else do the work and publish.

Each unit is published as soon as it has ended: Dask runs a task again when its worker dies, and finds in the archive what was
finished, and beside it how far the others were. Prefect neither keeps nor caches results, since its keys do not survive
pickling.
"""

import contextlib
import functools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from pymatgen.core import Structure

from defect_surrogate.archive import Archive
from defect_surrogate.errors import ArchiveError, JobEndsError, StoppedError
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import Potential, load_potential, relax_cell, relaxations
from tasks.job import leave_job, remaining_seconds
from tasks.names import units_name

logger = logging.getLogger(__name__)

LOOKED_UP_EVERY = 10.0
"""Seconds between two looks for what other workers have archived of a defect (our choice)."""


@task(name="relax-with-surrogate", task_run_name=units_name, cache_policy=NO_CACHE, persist_result=False)
def relax_surrogate_units(
    units: tuple[Unit, ...], archive_root: Path, settings: SurrogateSettings, *, margin: float = 0.0, driver: str = ""
) -> None:
    """Relax units with the force field as one batch, unless the archive has them.

    Parameters
    ----------
    units
        At level ``surrogate``.
    archive_root
        Directory of the archive, which holds all of them afterwards.
    settings
        Force field and convergence.
    margin
        Seconds before the end of the job at which relaxations are ended, and kept.
    driver
        Name of the driver that gave them out, with which they end.

    Raises
    ------
    PotentialError
        If the force field cannot be loaded, does not know an element, or a structure does not fit into memory; the latter two
        after the others were relaxed.
    ArchiveError
        If a result cannot be archived.
    JobEndsError
        If the job ends; this worker takes no more work.
    StoppedError
        If the archive was told to stop, or the driver has ended.
    """
    archive, ending = Archive(archive_root), _Ending(margin)
    missing = [unit for unit in units if archive.find(unit) is None]
    for unit in missing[:1]:
        ending.raise_if_over(unit)
    broken: list[Exception] = []
    with contextlib.ExitStack() as attempts:
        begun: list[contextlib.ExitStack] = []

        def starts() -> Iterator[Structure]:
            for unit in missing:
                begun.append(attempts.enter_context(contextlib.ExitStack()))
                begun[-1].enter_context(archive.attempt(unit, driver=driver))
                yield unit.structure

        ended = relaxations(
            starts(),
            _potential(settings.potential),
            settings=settings,
            unfinished=lambda index: archive.unfinished(missing[index]),
            stopped=_StopRequested(archive, driver, ending),
            elsewhere=_Siblings(archive, missing),
        )
        for index, result in ended:
            if isinstance(result, Relaxation) and result.finished:
                archive.publish(missing[index], result)
                begun[index].close()
            else:
                error = result if isinstance(result, Exception) else ending.error(missing[index], result)
                begun[index].__exit__(type(error), error, None)
                broken.append(error)
    if broken:
        raise broken[0]


@task(name="relax-cell-with-surrogate", task_run_name=units_name, cache_policy=NO_CACHE, persist_result=False)
def relax_cell_units(
    units: tuple[Unit, ...], archive_root: Path, settings: SurrogateSettings, *, margin: float = 0.0, driver: str = ""
) -> None:
    """Relax ions and cell of units with the force field, one after the other, unless the archive has them.

    Parameters
    ----------
    units
        Supercells without a defect, at level ``surrogate``.
    archive_root
        Directory of the archive, which holds all of them afterwards.
    settings
        Force field.
    margin
        Seconds before the end of the job from which no relaxation is begun.
    driver
        Name of the driver that gave them out, with which they end.

    Raises
    ------
    PotentialError
        If the force field cannot be loaded or does not know an element.
    ArchiveError
        If a result cannot be archived.
    JobEndsError
        If the job ends; this worker takes no more work.
    StoppedError
        If the archive was told to stop, or the driver has ended.
    """
    archive, ending = Archive(archive_root), _Ending(margin)
    for unit in units:
        ending.raise_if_over(unit)
        if archive.stop_requested(driver):
            raise StoppedError(f"{unit.name}: stopped on request")
        if archive.find(unit) is None:
            with archive.attempt(unit, driver=driver):
                archive.publish(unit, relax_cell(unit.structure, _potential(settings.potential)))


class _Ending:
    """The end of this process's job, less a margin; asked for once, and kept."""

    def __init__(self, margin: float) -> None:
        self._at = time.monotonic() + remaining_seconds() - margin

    def __call__(self) -> bool:
        return time.monotonic() >= self._at

    def raise_if_over(self, unit: Unit) -> None:
        """Refuse to begin a unit."""
        if self():
            leave_job()
            raise JobEndsError(f"{unit.name}: not begun, since its job ends")

    def error(self, unit: Unit, relaxation: Relaxation) -> Exception:
        """Say why a relaxation was ended."""
        if not self():
            return StoppedError(f"{unit.name}: {relaxation.detail}")
        leave_job()
        return JobEndsError(f"{unit.name}: its job ends: {relaxation.detail}")


class _StopRequested:
    """Whether the archive was told to stop or the driver has ended, looked up once a second at most, or the job ends."""

    def __init__(self, archive: Archive, driver: str, ending: _Ending) -> None:
        self._archive, self._driver, self._ending = archive, driver, ending
        self._looked, self._found = 0.0, False

    def __call__(self) -> bool:
        if time.monotonic() - self._looked > 1:
            self._looked, self._found = time.monotonic(), self._archive.stop_requested(self._driver) or self._ending()
        return self._found


class _Siblings:
    """Relaxations of a unit's defect with its method that other tasks archived since the unit was asked for last.

    They are looked up every ten seconds at most, one defect at a time, and each is given out once for its defect.
    """

    def __init__(self, archive: Archive, units: Sequence[Unit]) -> None:
        self._archive, self._units = archive, units
        self._looked: dict[tuple[str, str, str], float] = {}
        self._known = {archive.path(unit) for unit in units}  # that end in this task, which notes them itself

    def __call__(self, index: int) -> Iterator[Relaxation]:
        unit = self._units[index]
        defect = (unit.host, unit.defect, unit.method)
        if time.monotonic() - self._looked.get(defect, -math.inf) > LOOKED_UP_EVERY:
            self._looked[defect] = time.monotonic()
            try:
                for record in self._archive.siblings(unit, but=self._known):
                    self._known.add(record.path)
                    if record.relaxation.provenance.method == unit.method:
                        yield record.relaxation
            except ArchiveError as error:
                logger.warning("%s: not compared with others of its defect: %s", unit.name, error)


@functools.lru_cache(maxsize=1)
def _potential(name: str) -> Potential:
    """Load a force field once in each worker process."""
    return load_potential(name)
