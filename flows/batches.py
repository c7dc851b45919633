"""Units of one level relaxed on Dask workers, as Prefect flows of their own: what every search hands its work to."""

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, InstanceOf, field_serializer

from defect_surrogate.archive import Archive
from defect_surrogate.dataset.frames import BULK
from defect_surrogate.errors import ServiceError, StoppedError
from defect_surrogate.relaxation import Relaxation
from defect_surrogate.settings import SearchSettings, SurrogateSettings, WorkerSettings
from defect_surrogate.surrogates import structures_at_once
from flows.hosts import Relax, Work
from flows.progress import finished_line, progress
from flows.run_folder import WorkFolder
from flows.workers import Group, Submit, local_workers, outcomes
from tasks.reference import relax_reference_unit
from tasks.surrogate import relax_cell_units, relax_surrogate_units

logger = logging.getLogger(__name__)

BATCHES = 4
"""Most batches of structures that a worker gets in one task, so that others find work to the end (our choice). On a CPU a batch
is one structure, and a task of its own would cost half as much as its relaxation."""


class Batch(BaseModel):
    """Units for one run of a flow; Prefect records their names only, since parameters are capped at 512 KB."""

    model_config = ConfigDict(frozen=True)

    works: tuple[InstanceOf[Work], ...]

    @field_serializer("works")
    def names(self, works: tuple[Work, ...]) -> list[str]:
        """Names of the units."""
        return [work.unit.name for work in works]


def batch_name() -> str:
    """Return the name of a run of a subflow, e.g. ``CdTe: 15 surrogate relaxations``."""
    works = flow_run.parameters["batch"].works
    if not works:
        return "nothing to relax"
    hosts = list(dict.fromkeys(work.unit.host for work in works))
    more = f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""
    return f"{hosts[0]}{more}: {len(works)} {works[0].unit.level} relaxations"


def with_surrogate(folder: WorkFolder, settings: SearchSettings) -> Relax:
    """Return what relaxes units of a folder with the force field, each call on workers of its own.

    Parameters
    ----------
    folder
        Whose archive they are looked up in, and published to.
    settings
        Force field and workers.

    Returns
    -------
    callable
        Relaxes works.
    """

    def relax(works: Sequence[Work]) -> dict[str, Relaxation]:
        folder.note_units(work.unit for work in works)
        workers = local_workers(settings.workers.surrogate, deaths_allowed=settings.workers.retries)
        by_surrogate = relax_with_surrogate.with_options(task_runner=workers)
        return by_surrogate(Batch(works=tuple(works)), folder.archive.root, settings.surrogate, settings.workers)

    return _once(relax)


def with_reference(folder: WorkFolder, workers: WorkerSettings) -> Relax:
    """Return what relaxes units of a folder with VASP or its stand-in, each call on workers of its own.

    Parameters
    ----------
    folder
        Whose archive they are looked up in, and published to.
    workers
        How many, and how often broken work is tried again.

    Returns
    -------
    callable
        Relaxes works.
    """

    def relax(works: Sequence[Work]) -> dict[str, Relaxation]:
        folder.note_units(work.unit for work in works)
        runner = local_workers(min(workers.reference, max(1, len(works))), deaths_allowed=workers.retries)
        by_reference = relax_with_reference.with_options(task_runner=runner)
        return by_reference(Batch(works=tuple(works)), folder.archive.root, workers)

    return _once(relax)


def _once(relax: Relax) -> Relax:
    """Leave out what broke when it was asked for before: a search that asks again, for more, does not mean it tried anew."""
    broke: set[tuple[str, str]] = set()

    def relax_once(works: Sequence[Work]) -> dict[str, Relaxation]:
        left = [work for work in works if (work.unit.name, work.unit.key) not in broke]
        found = relax(left)
        broke.update((work.unit.name, work.unit.key) for work in left if work.unit.name not in found)
        return found

    return relax_once


@flow(name="relax-with-surrogate", flow_run_name=batch_name, persist_result=False)
def relax_with_surrogate(
    batch: Batch, archive_root: Path, settings: SurrogateSettings, workers: WorkerSettings
) -> dict[str, Relaxation]:
    """Relax units with the force field.

    Parameters
    ----------
    batch
        Units at level ``surrogate``: starts of defects, or supercells without one, whose cells are relaxed, too.
    archive_root
        Directory of the archive.
    settings
        Force field and convergence.
    workers
        How many, and how often broken work is tried again.

    Returns
    -------
    dict of str to Relaxation
        By name of the unit. Those that broke are missing, and noted in the archive.
    """
    of_cells = any(work.unit.defect == BULK for work in batch.works)
    relax = (relax_cell_units if of_cells else relax_surrogate_units).with_options(retries=workers.retries)
    return _relaxed(
        batch,
        archive_root,
        lambda group: relax.submit(tuple(work.unit for work in group), archive_root, settings),
        in_flight=workers.surrogate,
        most=BATCHES * structures_at_once(settings),
    )


@flow(name="relax-with-reference", flow_run_name=batch_name, persist_result=False)
def relax_with_reference(batch: Batch, archive_root: Path, workers: WorkerSettings) -> dict[str, Relaxation]:
    """Relax units with VASP or its stand-in.

    Parameters
    ----------
    batch
        Units at level ``reference``.
    archive_root
        Directory of the archive.
    workers
        How many, and how often broken work is tried again.

    Returns
    -------
    dict of str to Relaxation
        By name of the unit. Those that broke are missing, and noted in the archive.
    """
    relax = relax_reference_unit.with_options(retries=workers.retries)
    methods = {work.unit.name: work.method for work in batch.works if work.method is not None}
    return _relaxed(
        batch,
        archive_root,
        lambda group: relax.submit(group[0].unit, methods[group[0].unit.name], archive_root),
        in_flight=workers.reference,
        most=1,
    )


def _relaxed(batch: Batch, archive_root: Path, submit: Submit, *, in_flight: int, most: int) -> dict[str, Relaxation]:
    archive = Archive(archive_root)
    looked_up = {work.unit.name: archive.find(work.unit) for work in batch.works}
    found = {name: relaxation for name, relaxation in looked_up.items() if relaxation is not None}
    missing = [work for work in batch.works if work.unit.name not in found]
    if found:
        logger.info("%s: %d of them in the archive already", batch_name(), len(found))
    waiting = deque(_groups(missing, most=most, workers=in_flight))
    if archive.stop_requested():
        waiting.clear()
    with progress(batch_name(), len(missing)) as advance:
        ended = 0
        for outcome in outcomes(waiting, submit, in_flight=in_flight):
            archived = {work.unit.name: archive.find(work.unit) for work in outcome.group}
            left = [work for work in outcome.group if archived[work.unit.name] is None]
            if left and len(outcome.group) > 1:  # which of them broke the group shows when each is alone
                waiting.extend(tuple(part) for part in (left[::2], left[1::2]) if part)
            for work in outcome.group:
                relaxation = archived[work.unit.name]
                if relaxation is None and (len(outcome.group) > 1 or isinstance(outcome.error, StoppedError)):
                    continue
                ended += 1
                if relaxation is not None:
                    found[work.unit.name] = relaxation
                    logger.info("%s", finished_line(work.unit.name, relaxation, done=ended, total=len(missing)))
                else:
                    error = outcome.error or ServiceError(f"{work.unit.name}: its worker left no result")
                    archive.record_failure(work.unit, error)
                    logger.error("%s broke: %s, %d of %d", work.unit.name, error, ended, len(missing))
                advance()
            if archive.stop_requested():
                waiting.clear()
    if ended < len(missing):
        raise StoppedError(
            f"{batch_name()}: stopped on request, {len(missing) - ended} left; what is on its way is kept, and "
            "defect-surrogate resume goes on"
        )
    return found


def _groups(works: Sequence[Work], *, most: int, workers: int) -> list[Group]:
    """Share units out evenly, with at most so many in a group."""
    size = max(1, min(most, -(-len(works) // workers)))
    return [tuple(works[first : first + size]) for first in range(0, len(works), size)]
