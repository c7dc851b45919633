"""Units of the surrogate level relaxed on Dask workers, as a Prefect flow of its own."""

from pathlib import Path

from prefect import flow

from defect_surrogate.dataset.frames import BULK
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import structures_at_once
from flows.batches import Batch, batch_name, relaxed
from tasks.surrogate import relax_cell_units, relax_surrogate_units

BATCHES = 4
"""Most batches of structures that a worker gets in one task, so that others find work to the end (our choice). On a CPU a batch
is one structure, and a task of its own would cost half as much as its relaxation."""


@flow(name="relax-with-surrogate", flow_run_name=batch_name, persist_result=False)
def relax_with_surrogate(batch: Batch, archive_root: Path, settings: SurrogateSettings) -> tuple[str, ...]:
    """Relax units with the force field.

    Parameters
    ----------
    batch
        Units at level ``surrogate``: starts of defects, or supercells without one, whose cells are relaxed, too.
    archive_root
        Directory of the archive, to which they are published.
    settings
        Force field and convergence.

    Returns
    -------
    tuple of str
        Names of the units that ran out of memory, and are to be tried with more.
    """
    of_cells = any(work.unit.defect == BULK for work in batch.works)
    relax = relax_cell_units if of_cells else relax_surrogate_units
    profile = batch.cluster.profile
    on_gpu = None if profile.is_local else profile.surrogate.gpus > 0
    return relaxed(
        batch,
        archive_root,
        lambda group: relax.submit(
            *(tuple(work.unit for work in group), archive_root, settings),
            margin=profile.surrogate.margin,
            driver=batch.driver.name,
        ),
        most=BATCHES * structures_at_once(settings, on_gpu=on_gpu),
        workers=profile.surrogate.jobs.maximum,
    )
