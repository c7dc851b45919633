"""A few frames of each relaxation, evenly spaced: neighbouring ionic steps are nearly the same.

Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9) take 10 frames of each relaxation of a defect, 45 in the alloy, and 5, 10
or 20 of each relaxation of a pristine host.
"""

from dataclasses import replace

import numpy as np

from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.errors import DatasetError

FRAMES_PER_RELAXATION = 10


def evenly_spaced(
    dataset: Dataset, *, per_relaxation: int = FRAMES_PER_RELAXATION, bulk_per_host: int | None = None
) -> Dataset:
    """Keep evenly spaced frames of each relaxation, its first and last among them.

    Parameters
    ----------
    dataset
        Any dataset.
    per_relaxation
        Most frames kept of one relaxation of a defect; at least 1.
    bulk_per_host
        Most bulk frames kept of one host, evenly spaced over all of its bulk relaxations in their order; all when None.

    Returns
    -------
    Dataset
        The frames kept, in their order.

    Raises
    ------
    DatasetError
        If ``per_relaxation`` is less than 1, or ``bulk_per_host`` less than 0.
    """
    if per_relaxation < 1 or (bulk_per_host is not None and bulk_per_host < 0):
        raise DatasetError(f"{per_relaxation} frames of a relaxation and {bulk_per_host} of a bulk cannot be sampled")
    groups: dict[tuple[str, ...], list[LabelledFrame]] = {}
    for frame in dataset.frames:
        key = (frame.host, frame.defect) if frame.is_bulk else (frame.host, frame.defect, frame.label)
        groups.setdefault(key, []).append(frame)
    kept = []
    for frames in groups.values():
        count = bulk_per_host if frames[0].is_bulk else per_relaxation
        kept += frames if count is None else [frames[i] for i in evenly_spaced_indices(len(frames), count)]
    return replace(dataset, frames=tuple(kept))


def evenly_spaced_indices(length: int, count: int) -> list[int]:
    """Return the indices of evenly spaced items, by the authors' rule ``int(np.linspace(0, n - 1, count))``.

    Parameters
    ----------
    length
        Number of items n, at least 1.
    count
        Number of items wanted.

    Returns
    -------
    list of int
        Ascending, each once; all n where fewer than ``count`` are there.
    """
    if length <= count:
        return list(range(length))
    return [int(position) for position in np.linspace(0, length - 1, count)]
