"""Figures of merit of a search by surrogate + reference, one definition each.

The full reference search relaxes every sampling structure at the reference level; surrogate + reference relaxes them with the
surrogate and only its distinct minima, and ``Unperturbed``, at the reference level. The definitions follow the paper
(doi:10.1038/s41524-024-01303-9), which reports 88 % hits, 73 % of the DFT relaxations saved, and speed-ups of 13.2 (mean) and
5.6 (median).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

HIT_TOLERANCE = 0.05
"""Energy difference below which two ground states are the same, eV: the threshold from which ShakeNBreak reports an energy
lowering (``min_e_diff``, doi:10.21105/joss.04817)."""


@dataclass(frozen=True)
class DFTSaved:
    """Share of the reference relaxations that the surrogate makes needless.

    Attributes
    ----------
    with_unperturbed
        The ``Unperturbed`` reference relaxation, which energy lowering needs, counts as run after the surrogate.
    without_unperturbed
        It does not count.
    """

    with_unperturbed: float
    without_unperturbed: float


@dataclass(frozen=True)
class SearchTimes:
    """Wall times of the two ways to search one defect, each the sum over its relaxations, s.

    Attributes
    ----------
    full_reference
        Reference relaxations of all sampling structures, s; NaN when not known.
    minima_reference
        Reference relaxations of the surrogate's minima, s; NaN when not known.
    surrogate
        Surrogate relaxations of all sampling structures, s; NaN when not known.
    """

    full_reference: float
    minima_reference: float
    surrogate: float


@dataclass(frozen=True)
class SpeedUps:
    """Speed-up over several defects.

    Attributes
    ----------
    mean
        Arithmetic mean of the speed-ups of the defects.
    median
        Their median, dimensionless.
    ratio_of_totals
        Ratio of the total time of the full reference searches to total time of surrogate + reference.
    defects
        Number of defects whose times are known; the others are left out.
    """

    mean: float
    median: float
    ratio_of_totals: float
    defects: int


def dft_saved(minima: int, *, sampling_structures: int) -> DFTSaved:
    """Share of reference relaxations saved by the surrogate.

    Parameters
    ----------
    minima
        Reference relaxations run from minima of the surrogate.
    sampling_structures
        Reference relaxations of the full reference search, at least 1.

    Returns
    -------
    DFTSaved
        1 − (reference relaxations run after the surrogate) / (sampling structures), with and without the ``Unperturbed``
        reference. Negative when more were run than saved.

    Raises
    ------
    ValueError
        If a count is out of range.
    """
    if minima < 0 or sampling_structures < 1:
        raise ValueError(f"DFT saved is not defined for {minima=}, {sampling_structures=}")
    return DFTSaved(
        with_unperturbed=1 - (minima + 1) / sampling_structures,
        without_unperturbed=1 - minima / sampling_structures,
    )


def is_hit(energy: float, *, full_reference_energy: float) -> bool:
    """Whether surrogate + reference found the ground state of the full reference search, or a lower one.

    Parameters
    ----------
    energy
        Lowest energy found by surrogate + reference, eV per supercell.
    full_reference_energy
        Lowest energy found by the full reference search, eV per supercell.

    Returns
    -------
    bool
        ``energy`` is at most ``HIT_TOLERANCE`` above ``full_reference_energy``.
    """
    return energy - full_reference_energy <= HIT_TOLERANCE


def is_new_ground_state(energy: float, *, full_reference_energy: float) -> bool:
    """Whether surrogate + reference found a lower ground state than the full reference search.

    Parameters
    ----------
    energy
        Lowest energy found by surrogate + reference, eV per supercell.
    full_reference_energy
        Lowest energy found by the full reference search, eV per supercell.

    Returns
    -------
    bool
        ``energy`` is below ``full_reference_energy`` by more than ``HIT_TOLERANCE``.
    """
    return full_reference_energy - energy > HIT_TOLERANCE


def speed_up(times: SearchTimes) -> float | None:
    """How many times faster surrogate + reference is than the full reference search of one defect.

    Parameters
    ----------
    times
        Wall times of both.

    Returns
    -------
    float or None
        t(full reference search) / (t(reference relaxations of the minima) + t(surrogate)); None when a time is not known or
        surrogate + reference took none.
    """
    both = times.minima_reference + times.surrogate
    if not math.isfinite(times.full_reference) or not math.isfinite(both) or both <= 0:
        return None
    return times.full_reference / both


def speed_ups(searches: Sequence[SearchTimes]) -> SpeedUps | None:
    """Summarise the speed-up over several defects.

    Parameters
    ----------
    searches
        Times of each defect.

    Returns
    -------
    SpeedUps or None
        Mean, median and ratio of totals over the defects whose times are known; None when there is none.
    """
    known = [(times, ratio) for times in searches if (ratio := speed_up(times)) is not None]
    if not known:
        return None
    ratios = sorted(ratio for _, ratio in known)
    middle = len(ratios) // 2
    return SpeedUps(
        mean=math.fsum(ratios) / len(ratios),
        median=ratios[middle] if len(ratios) % 2 else (ratios[middle - 1] + ratios[middle]) / 2,
        ratio_of_totals=math.fsum(times.full_reference for times, _ in known)
        / math.fsum(times.minima_reference + times.surrogate for times, _ in known),
        defects=len(known),
    )


def hit_rate(hits: Iterable[bool | None]) -> float | None:
    """Share of the defects whose ground state surrogate + reference found.

    Parameters
    ----------
    hits
        Verdict of ``is_hit`` for each defect; None where it is not known, which does not count.

    Returns
    -------
    float or None
        Between 0 and 1; None if no verdict is known.
    """
    return mean_of_known(None if hit is None else float(hit) for hit in hits)


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Mean over defects of a figure that some may lack, such as DFT saved.

    Parameters
    ----------
    values
        One for each defect; None where it is not known, which does not count.

    Returns
    -------
    float or None
        Arithmetic mean of the known ones, in their unit; None if there is none.
    """
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
