"""Which of the surrogate's minima are relaxed at the reference level, where there are more than can be paid for.

What a surrogate gets wrong depends on the bonds: it may have all trimers 0.5 eV too high and still know which of them is
lowest. A budget is therefore spent on the lowest minimum of each motif first, from the lowest motif up, then on the second of
each. The rule is ours; the paper (doi:10.1038/s41524-024-01303-9) follows all minima.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeVar

from defect_surrogate.distortions import TRANSFERRED, UNPERTURBED
from defect_surrogate.settings import MinimaSettings


class HasLabels(Protocol):
    """Something that starts led to."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of these starts."""


Found = TypeVar("Found", bound=HasLabels)


def followed(minima: Sequence[Found], kinds: Sequence[str], settings: MinimaSettings) -> list[Found]:
    """Choose the minima of the surrogate that are relaxed at the reference level.

    Minima that only transferred starts led to have a budget of their own and take no turn from others; they take theirs after
    all that have their motif. The minimum of ``Unperturbed`` comes last, since that start is relaxed at the reference level
    anyway.

    Parameters
    ----------
    minima
        Of one defect, ascending in energy.
    kinds
        Motif of each, such as ``Te trimer (chain)``.
    settings
        The budgets; without one all are followed.

    Returns
    -------
    list
        Those followed, in the order of ``minima``.
    """
    if settings.most_relaxed is None:
        return list(minima)
    offered = [all(label.startswith(TRANSFERRED) for label in minimum.labels) for minimum in minima]
    seen: Counter[str] = Counter()
    seen_own: Counter[str] = Counter()
    turns = []
    for index, kind in enumerate(kinds):
        turn = seen[kind] if offered[index] else seen_own[kind]
        turns.append((UNPERTURBED in minima[index].labels, turn, index))
        seen[kind] += 1
        seen_own[kind] += not offered[index]
    left = {True: settings.most_transferred, False: settings.most_relaxed}
    chosen = []
    for *_, index in sorted(turns):
        if left[offered[index]]:
            left[offered[index]] -= 1
            chosen.append(index)
    return [minima[index] for index in sorted(chosen)]
