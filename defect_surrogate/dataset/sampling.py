"""A few frames of each relaxation, evenly spaced: neighbouring ionic steps are nearly the same.

Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9) take 10 frames of each relaxation of a defect, 45 in the alloy, and 5, 10
or 20 of each relaxation of a pristine host. A host here may have one long relaxation and many single points of strained cells,
so the frames of its bulk are shared out over its relaxations.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from defect_surrogate.dataset.frames import BULK, HOST, Dataset, LabelledFrame
from defect_surrogate.errors import DatasetError

FRAMES_PER_RELAXATION = 10


def evenly_spaced(
    dataset: Dataset, *, per_relaxation: int = FRAMES_PER_RELAXATION, bulk_per_host: int | None = None
) -> Dataset:
    """Keep evenly spaced frames of each relaxation, its first and last among them; a single one is the last.

    Parameters
    ----------
    dataset
        Any dataset.
    per_relaxation
        Most frames kept of one relaxation of a defect; at least 1.
    bulk_per_host
        Most bulk frames kept of one host; all when None. Each of its bulk relaxations gives as many as the others where it has
        as many, and the remainder comes from longer ones. Where there are more relaxations than frames wanted, some, spread
        over them, give their last frame, the relaxed host first of all.

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
    relaxations: dict[tuple[str, str], dict[str, list[LabelledFrame]]] = {}
    for frame in dataset.frames:
        relaxations.setdefault((frame.host, frame.defect), {}).setdefault(frame.label, []).append(frame)
    kept: list[LabelledFrame] = []
    for (_, defect), by_label in relaxations.items():
        if defect != BULK:
            kept += [one for frames in by_label.values() for one in _spaced(frames, per_relaxation)]
        elif bulk_per_host is not None:
            kept += _shared_out(by_label, bulk_per_host)
        else:
            kept += [one for frames in by_label.values() for one in frames]
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


def fair_shares(lengths: Sequence[int], count: int) -> list[int]:
    """Share out items over groups as evenly as their sizes allow.

    Parameters
    ----------
    lengths
        Number of items in each group.
    count
        Number of items wanted.

    Returns
    -------
    list of int
        Number of items that each group gives, together ``count``, or all there are; the remainder comes from longer groups.
    """
    shares, left = [0] * len(lengths), count
    for given, group in enumerate(sorted(range(len(lengths)), key=lambda group: lengths[group])):
        shares[group] = min(lengths[group], left // (len(lengths) - given))
        left -= shares[group]
    return shares


def _shared_out(by_label: dict[str, list[LabelledFrame]], count: int) -> list[LabelledFrame]:
    """Keep frames of the bulk relaxations of one host, in their order."""
    labels = sorted(by_label, key=lambda label: label != HOST)  # the first is always chosen
    chosen = [labels[i] for i in evenly_spaced_indices(len(labels), count)]
    shares = dict(zip(chosen, fair_shares([len(by_label[label]) for label in chosen], count), strict=True))
    return [one for label in by_label if label in shares for one in _spaced(by_label[label], shares[label])]


def _spaced(frames: list[LabelledFrame], count: int) -> list[LabelledFrame]:
    return frames[-1:] if count == 1 else [frames[i] for i in evenly_spaced_indices(len(frames), count)]
