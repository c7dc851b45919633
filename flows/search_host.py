"""The search of one host as Prefect flows: what the paper's Methods do, each level of theory on its own Dask workers."""

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, InstanceOf, WithJsonSchema, field_serializer

from defect_surrogate.archive import Archive
from defect_surrogate.errors import ServiceError, StoppedError
from defect_surrogate.relaxation import Relaxation
from defect_surrogate.reports.schema import CampaignReport
from defect_surrogate.settings import SearchSettings, SurrogateSettings, WorkerSettings
from defect_surrogate.surrogates import structures_at_once
from flows.artifacts import publish_artifacts
from flows.hosts import Work
from flows.progress import finished_line, progress, show_own_lines
from flows.results import write_results
from flows.run_folder import create_run, locked
from flows.search import search
from flows.workers import Group, Submit, local_workers, outcomes
from tasks.reference import relax_reference_unit
from tasks.surrogate import relax_surrogate_units

logger = logging.getLogger(__name__)

BATCHES = 4
"""Most batches of structures that a worker gets at once, so that others find work to the end (our choice)."""


def _described(text: str) -> WithJsonSchema:
    """Describe a parameter in the form of the dashboard; Prefect drops the description of a ``Field``."""
    return WithJsonSchema({"type": "string", "description": text})


Source = Annotated[str, _described("Path of a CIF, POSCAR, extxyz or pymatgen JSON file, or a Materials Project id.")]
Out = Annotated[str, _described("Folder of the run; an earlier search of the same host there is continued.")]


class Batch(BaseModel):
    """Units for one run of a flow; Prefect records their names only, since parameters are capped at 512 KB."""

    model_config = ConfigDict(frozen=True)

    works: tuple[InstanceOf[Work], ...]

    @field_serializer("works")
    def names(self, works: tuple[Work, ...]) -> list[str]:
        """Names of the units."""
        return [work.unit.name for work in works]


def search_name() -> str:
    """Return the name of a run of ``search_host``: that of the host's file."""
    return Path(str(flow_run.parameters["source"])).name


def batch_name() -> str:
    """Return the name of a run of a subflow, e.g. ``CdTe: 15 surrogate relaxations``."""
    works = flow_run.parameters["batch"].works
    return f"{works[0].unit.host}: {len(works)} {works[0].unit.level} relaxations" if works else "nothing to relax"


@flow(name="search-host", flow_run_name=search_name, persist_result=False)
def search_host(source: Source, out: Out, settings: SearchSettings = SearchSettings()) -> CampaignReport:  # noqa: B008
    """Find the ground-state structures of a host's vacancies.

    The sampling structures of each vacancy are relaxed with the surrogate; those that end in a distinct minimum, and the
    unperturbed structure, are relaxed at the reference level. What the archive of the run holds is not computed again.

    Parameters
    ----------
    source
        Path of a CIF, POSCAR, extxyz or pymatgen JSON file, or a Materials Project id.
    out
        Folder of the run; an earlier search of the same host there is continued.
    settings
        Settings of the search; the defaults are the paper's.

    Returns
    -------
    CampaignReport
        Also written into the folder. Units that broke are listed in it.
    """
    show_own_lines()
    with locked(Path(out)):
        run = create_run(Path(out), source, settings)
        run.archive.clear_dead_attempts()
        run.archive.clear_stop_request()
        run.note_units([], first=True)

        def relax_surrogate(works: Sequence[Work]) -> dict[str, Relaxation]:
            run.note_units(work.unit for work in works)
            workers = local_workers(settings.workers.surrogate, deaths_allowed=settings.workers.retries)
            by_surrogate = relax_with_surrogate.with_options(task_runner=workers)
            return by_surrogate(Batch(works=tuple(works)), run.archive.root, settings.surrogate, settings.workers)

        def relax_reference(works: Sequence[Work]) -> dict[str, Relaxation]:
            run.note_units(work.unit for work in works)
            count = min(settings.workers.reference, len(works))
            workers = local_workers(count, deaths_allowed=settings.workers.retries)
            by_reference = relax_with_reference.with_options(task_runner=workers)
            return by_reference(Batch(works=tuple(works)), run.archive.root, settings.workers)

        found = search(
            run.source,
            settings,
            relax_surrogate=relax_surrogate,
            relax_reference=relax_reference,
            structures=run.structures,
            cache=run.sampling,
        )
        report = write_results(run, found)
    publish_artifacts(report)
    return report


@flow(name="relax-with-surrogate", flow_run_name=batch_name, persist_result=False)
def relax_with_surrogate(
    batch: Batch, archive_root: Path, settings: SurrogateSettings, workers: WorkerSettings
) -> dict[str, Relaxation]:
    """Relax units with the force field.

    Parameters
    ----------
    batch
        Units at level ``surrogate``.
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
    relax = relax_surrogate_units.with_options(retries=workers.retries)
    return _relaxed(
        batch,
        archive_root,
        lambda group: relax.submit(tuple(work.unit for work in group), archive_root, settings),
        in_flight=workers.surrogate,
        together=structures_at_once(settings),
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
        together=1,
    )


def _relaxed(
    batch: Batch, archive_root: Path, submit: Submit, *, in_flight: int, together: int
) -> dict[str, Relaxation]:
    archive = Archive(archive_root)
    looked_up = {work.unit.name: archive.find(work.unit) for work in batch.works}
    found = {name: relaxation for name, relaxation in looked_up.items() if relaxation is not None}
    missing = [work for work in batch.works if work.unit.name not in found]
    if found:
        logger.info("%s: %d of them in the archive already", batch_name(), len(found))
    waiting = deque(_groups(missing, together=together, workers=in_flight))
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


def _groups(works: Sequence[Work], *, together: int, workers: int) -> list[Group]:
    """Share units out: one by one where a worker relaxes one at a time, else what fills a worker's batch some times."""
    size = 1 if together == 1 else max(1, min(BATCHES * together, -(-len(works) // workers)))
    return [tuple(works[first : first + size]) for first in range(0, len(works), size)]
