"""High energies, which teach a force field nothing about minima, left out of a dataset.

As in Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9, Methods): frames with a positive energy, and frames more than 15 eV
above the lowest of their defect. The rule on positive energies is one for VASP, whose energies are relative to free atoms;
energies of the stand-in are always negative.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

from defect_surrogate.dataset.frames import Dataset

ENERGY_WINDOW = 15.0
"""eV per supercell, of the paper."""


@dataclass(frozen=True)
class DroppedFrames:
    """What was dropped of one defect.

    Attributes
    ----------
    host, defect
        Names; ``bulk`` for the host itself.
    positive
        Number of frames with a positive energy.
    high
        Number of the others that lie above the window.
    """

    host: str
    defect: str
    positive: int
    high: int

    def __str__(self) -> str:
        counts = ((self.positive, "with a positive energy"), (self.high, "far above the lowest"))
        return f"{self.host}/{self.defect}: dropped " + ", ".join(f"{count} {why}" for count, why in counts if count)


@dataclass(frozen=True)
class Cleaned:
    """A dataset without high energies.

    Attributes
    ----------
    dataset
        What is left.
    dropped
        One entry for each defect that lost frames, sorted.
    """

    dataset: Dataset
    dropped: tuple[DroppedFrames, ...]


def drop_high_energies(dataset: Dataset, *, window: float = ENERGY_WINDOW) -> Cleaned:
    """Drop frames with a positive energy and frames far above the lowest of their defect.

    Parameters
    ----------
    dataset
        Any dataset.
    window
        Energy above the lowest of the same defect in a cell of the same composition up to which frames are kept, eV per
        supercell. Bulk frames of a host are compared likewise, as if the bulk were a defect.

    Returns
    -------
    Cleaned
        The rest, in its order.
    """
    lowest: dict[tuple[object, ...], float] = {}
    for frame in dataset.frames:
        key = frame.comparable
        lowest[key] = min(frame.energy, lowest.get(key, frame.energy))
    counts: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    kept = []
    for frame in dataset.frames:
        positive = frame.energy > 0
        if positive or frame.energy > lowest[frame.comparable] + window:
            counts[frame.host, frame.defect][not positive] += 1
        else:
            kept.append(frame)
    dropped = tuple(
        DroppedFrames(host, defect, positive, high) for (host, defect), (positive, high) in sorted(counts.items())
    )
    return Cleaned(replace(dataset, frames=tuple(kept)), dropped)
