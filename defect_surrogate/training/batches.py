"""Which frames make a step: drawn at random, or frames of one defect together.

Forces say where minima are, and the energy of a frame how deep: a number for sixty atoms, of which a few around the defect
decide. In the difference of two frames of one defect the other atoms cancel, so that a loss on differences teaches these few;
it needs such frames in one batch.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from defect_surrogate.dataset.frames import LabelledFrame
from defect_surrogate.training.settings import OptimisationSettings


def comparable_groups(frames: Iterable[LabelledFrame]) -> list[int]:
    """Find the sets of frames whose energies can be compared: those of one defect, or of one host, with the same atoms.

    Parameters
    ----------
    frames
        k frames.

    Returns
    -------
    list of int
        Number of the set of each frame, k of them, counted from 0 in the order of their first frames.
    """
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(frame.comparable, len(numbers)) for frame in frames]


def epoch_batches(
    groups: Sequence[int], *, settings: OptimisationSettings, epoch: int | None
) -> list[NDArray[np.int64]]:
    """Divide frames into the batches of an epoch.

    Parameters
    ----------
    groups
        Number of the set of each frame, from ``comparable_groups``.
    settings
        Size of a batch, seed, and whether relative energies have a weight, when each batch is of one set.
    epoch
        Counted from 1; with the seed it decides the order. The frames stay in theirs when None, as for validation.

    Returns
    -------
    list of ndarray
        Indices of the frames of each batch, every frame in one batch.
    """
    size = settings.batch_size
    random = None if epoch is None else np.random.default_rng([settings.seed, epoch])
    order = np.arange(len(groups)) if random is None else random.permutation(len(groups))
    if settings.relative_energy_weight == 0:
        return [order[start : start + size] for start in range(0, len(order), size)]
    sets: dict[int, list[int]] = {}
    for i in order:
        sets.setdefault(groups[i], []).append(int(i))
    batches = [np.array(of[start : start + size]) for of in sets.values() for start in range(0, len(of), size)]
    return batches if random is None else [batches[i] for i in random.permutation(len(batches))]
