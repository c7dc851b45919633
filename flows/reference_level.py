"""Units of the reference level relaxed on Dask workers, as a Prefect flow of its own."""

from pathlib import Path

from prefect import flow

from defect_surrogate.vasp import Execution
from flows.batches import Batch, batch_name, relaxed
from tasks.reference import relax_reference_unit


@flow(name="relax-with-reference", flow_run_name=batch_name, persist_result=False)
def relax_with_reference(batch: Batch, archive_root: Path) -> tuple[str, ...]:
    """Relax units with VASP or its stand-in.

    Parameters
    ----------
    batch
        Units at level ``reference``.
    archive_root
        Directory of the archive, to which they are published.

    Returns
    -------
    tuple of str
        Names of the units that ran out of memory, and are to be tried with more.
    """
    methods = {work.unit.name: work.method for work in batch.works if work.method is not None}
    asked = batch.cluster.profile.reference
    execution = Execution(
        asked.launcher_words, None if batch.cluster.profile.is_local else asked.threads, asked.scratch
    )
    return relaxed(
        batch,
        archive_root,
        lambda group: relax_reference_unit.submit(
            *(group[0].unit, methods[group[0].unit.name], archive_root, execution),
            margin=asked.margin,
            driver=batch.driver.name,
        ),
        most=1,
        workers=asked.jobs.maximum,
    )
