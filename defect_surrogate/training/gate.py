"""The gate: a model is published only if it is better on held-out frames than what it started from and than the baseline.

Compared are force errors and errors of energies relative to each defect's ground state, which decide where a relaxation goes
and which minimum is the lowest, and which models of different levels of theory have in common.
"""

import logging
import math
from collections.abc import Callable, Sequence

from defect_surrogate.dataset.frames import Dataset
from defect_surrogate.errors import DatasetError, GateError
from defect_surrogate.evaluation import evaluate
from defect_surrogate.metrics import Errors
from defect_surrogate.surrogates import Potential, predict
from defect_surrogate.surrogates.card import HeldOutErrors

logger = logging.getLogger(__name__)

COMPARED = ("force_mae", "relative_energy_mae")


def held_out_errors(
    potential: Potential, dataset: Dataset, *, on_done: Callable[[], None] | None = None
) -> HeldOutErrors:
    """Measure a model on frames it has not seen.

    Parameters
    ----------
    potential
        The model.
    dataset
        Held-out frames; those with a defect count.
    on_done
        Called after each frame.

    Returns
    -------
    HeldOutErrors
        Absolute energies only if the model was made for the level of theory of the frames.

    Raises
    ------
    DatasetError
        If no frame has a defect.
    PotentialError
        If it does not know an element.
    """
    figures = evaluate(predict(potential, dataset.frames, on_done=on_done), dataset).defects
    if figures.forces is None:
        raise DatasetError(f"no frame with a defect to measure {potential.name} on")
    return HeldOutErrors(
        name=potential.name,
        digest=potential.digest,
        energy_mae=_mae(figures.energy) if potential.made_for == dataset.level_of_theory else None,
        force_mae=figures.forces.mae,
        stress_mae=_mae(figures.stress),
        relative_energy_mae=_mae(figures.relative_energy),
        low_energy_mae=_mae(figures.low_energy),
        spearman=figures.spearman,
    )


def faults(candidate: HeldOutErrors, others: Sequence[HeldOutErrors]) -> list[str]:
    """Say in what a model is worse than others.

    Parameters
    ----------
    candidate
        The model to be published.
    others
        The model it started from, and the baseline.

    Returns
    -------
    list of str
        One for each; empty if it is better in all that is compared.
    """
    found = []
    for other in others:
        for name in COMPARED:
            mine, theirs = getattr(candidate, name), getattr(other, name)
            if mine is not None and theirs is not None and not mine <= theirs:
                unit = "meV/Å" if name == "force_mae" else "meV/atom"
                found.append(f"{name} {mine:.4g} {unit}, {theirs:.4g} of {other.name}")
    return found


def check(candidate: HeldOutErrors | None, others: Sequence[HeldOutErrors], *, force: bool) -> bool:
    """Refuse a model that is no better.

    Parameters
    ----------
    candidate
        The model to be published; None if nothing was held out to measure it on.
    others
        The model it started from, and the baseline.
    force
        Let it pass all the same.

    Returns
    -------
    bool
        Whether it passed by force alone.

    Raises
    ------
    GateError
        Naming figures and models.
    """
    found = ["no frame with a defect is held out to measure it on"] if candidate is None else faults(candidate, others)
    if candidate is not None and not math.isfinite(candidate.force_mae):
        found.append(f"force_mae {candidate.force_mae} meV/Å")
    if not found:
        return False
    if not force:
        raise GateError(f"the model is not published: {'; '.join(found)}; --force publishes it all the same")
    logger.warning("published by force: %s", "; ".join(found))
    return True


def _mae(errors: Errors | None) -> float | None:
    return None if errors is None else errors.mae
