"""Times of searches as if nothing else had run: steps of each relaxation, at the time of a step on a machine left alone.

The reference relaxations were run side by side with other work, over days and on several machines, so that their wall times say
what was waited for. Both levels are therefore charged by their ionic steps, at the least time of a step that any relaxation of
the same vacancy and level has.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from defect_surrogate.distortions import FROM_SURROGATE
from defect_surrogate.evaluation import SearchedDefect
from defect_surrogate.metrics import SearchTimes, speed_up
from defect_surrogate.reports.entries import RelaxationReport
from defect_surrogate.reports.schema import VacancyReport


def at_quiet_times(one: SearchedDefect, vacancy: VacancyReport) -> SearchedDefect:
    """Replace the wall times of a defect that has a verdict."""
    if one.hit is None:
        return one
    reference = [r for r in vacancy.relaxations if r.level == "reference"]
    surrogate = [r for r in vacancy.relaxations if r.level == "surrogate"]
    minima = [r for r in reference if r.label.endswith(FROM_SURROGATE)]
    full = [r for r in reference if not r.label.endswith(FROM_SURROGATE)]
    step = quiet_step(reference)
    times = SearchTimes(
        full_reference=step * steps(full),
        minima_reference=step * steps(minima),
        surrogate=quiet_step(surrogate) * steps(surrogate),
    )
    return dataclasses.replace(
        one,
        speedup=speed_up(times),
        full_reference_seconds=times.full_reference,
        minima_reference_seconds=times.minima_reference,
        surrogate_seconds=times.surrogate,
    )


def quiet_step(relaxations: Sequence[RelaxationReport]) -> float:
    """Return the least time of a step, s; NaN if none is known."""
    return min((one.seconds / max(one.steps, 1) for one in relaxations if one.seconds is not None), default=math.nan)


def steps(relaxations: Iterable[RelaxationReport]) -> int:
    """Return all steps together."""
    return sum(max(one.steps, 1) for one in relaxations)
