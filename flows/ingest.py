"""A dataset from finished calculations: nothing is computed, so no Prefect.

::

    DATASET/
        dataset.json, CdTe.extxyz …    the dataset
        ingested.csv                   every relaxation on disk: steps found, taken and dropped, and why
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defect_surrogate.dataset.ingest import IngestedRelaxation, ingest, table_csv
from defect_surrogate.dataset.store import check_unused, write_dataset

TABLE = "ingested.csv"


@dataclass(frozen=True)
class IngestSummary:
    """What was ingested.

    Attributes
    ----------
    folder
        Folder of the dataset.
    level_of_theory
        In words.
    digest
        Of the dataset, 64 hexadecimal digits.
    hosts
        Names, sorted.
    compositions
        Reduced formulas, sorted.
    relaxations
        Number of relaxations of which frames were taken.
    frames, bulk_frames
        Number of frames, and of those without a defect.
    incomplete
        Relaxations of which steps, or all, were dropped.
    """

    folder: Path
    level_of_theory: str
    digest: str
    hosts: tuple[str, ...]
    compositions: tuple[str, ...]
    relaxations: int
    frames: int
    bulk_frames: int
    incomplete: tuple[IngestedRelaxation, ...]


def ingest_trees(trees: Sequence[Path], out: Path, *, host: str | None = None) -> IngestSummary:
    """Read finished calculations and write them as a dataset.

    Parameters
    ----------
    trees
        Folder trees of VASP calculations, run folders and archives.
    out
        Folder of the dataset, new or empty.
    host
        Name of the host of what is in folder trees; that of the folder above each defect's when None.

    Returns
    -------
    IngestSummary
        What was taken and what was not.

    Raises
    ------
    DatasetError
        If there is nothing to take, two levels of theory meet, the composition of a host is not known, or the folder holds
        something or cannot be written.
    """
    check_unused(out)
    ingested = ingest(trees, host=host)
    dataset = ingested.dataset
    write_dataset(dataset, out, notes={TABLE: table_csv(ingested.table)})
    return IngestSummary(
        folder=out,
        level_of_theory=dataset.level_of_theory,
        digest=dataset.digest,
        hosts=dataset.hosts,
        compositions=dataset.compositions,
        relaxations=sum(row.taken > 0 for row in ingested.table),
        frames=len(dataset),
        bulk_frames=sum(frame.is_bulk for frame in dataset.frames),
        incomplete=tuple(row for row in ingested.table if row.dropped or not row.taken),
    )
