"""What the disagreement of an ensemble is worth: how large it is, and whether it tells where the errors are.

Members that differ in their random seeds alone agree where data have settled the matter (deep ensembles,
Lakshminarayanan, Pritzel and Blundell, arXiv:1612.01474). Their standard deviation is an uncertainty only as far as errors grow
with it, which held-out data say: by the rank correlation of the two, and by their ratio, which is 1 where the deviation has the
size of the errors, and larger where the ensemble is too sure of itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defect_surrogate.metrics.predictions import spearman


@dataclass(frozen=True)
class Uncertainty:
    """Disagreement of an ensemble beside the errors of the member that is used.

    Attributes
    ----------
    deviation
        Standard deviation over the members, root mean square over the configurations, in the unit of the values.
    correlation
        Spearman's coefficient of deviation and error over the configurations, dimensionless; None with fewer than three, or if
        either is the same for all.
    ratio
        Root mean square error divided by ``deviation``, dimensionless; None if the members do not disagree.
    count
        Number of configurations.
    """

    deviation: float
    correlation: float | None
    ratio: float | None
    count: int


def uncertainty(members: NDArray[np.float64], reference: NDArray[np.float64]) -> Uncertainty | None:
    """Compare the disagreement of an ensemble with the errors of its first member, for one value of each configuration.

    Parameters
    ----------
    members
        Predictions of m ≥ 2 members for k configurations, shape (m, k), in any unit.
    reference
        True values, shape (k,), in the same unit.

    Returns
    -------
    Uncertainty or None
        In that unit; None without a configuration.

    Raises
    ------
    ValueError
        With fewer than two members.
    """
    return _compared([column[:, None] for column in members.T], [value[None] for value in reference])


def vector_uncertainty(
    members: Sequence[Sequence[NDArray[np.float64]]], reference: Sequence[NDArray[np.float64]]
) -> Uncertainty | None:
    """Compare disagreement and errors, for an array of values of each configuration, such as its forces.

    Parameters
    ----------
    members
        For each of m ≥ 2 members the predictions for k configurations, each of the shape of its ``reference``, in any unit.
    reference
        True values of the k configurations, each of any shape, such as (n, 3), in the same unit.

    Returns
    -------
    Uncertainty or None
        In that unit; deviation and error of a configuration are root mean squares over its values. None without one.

    Raises
    ------
    ValueError
        With fewer than two members.
    """
    return _compared(
        [np.array([values.ravel() for values in one]) for one in zip(*members, strict=True)],
        [values.ravel() for values in reference],
    )


def _compared(
    predictions: Sequence[NDArray[np.float64]], reference: Sequence[NDArray[np.float64]]
) -> Uncertainty | None:
    """Compare, given (m, v) predictions and (v,) true values of each configuration."""
    if not reference:
        return None
    if any(len(one) < 2 for one in predictions):
        raise ValueError(f"{len(predictions[0])} members cannot disagree")
    deviations = np.array([math.sqrt(one.var(axis=0, ddof=1).mean()) for one in predictions])
    errors = np.array(
        [math.sqrt(np.square(one[0] - true).mean()) for one, true in zip(predictions, reference, strict=True)]
    )
    deviation, error = (float(np.sqrt(np.square(values).mean())) for values in (deviations, errors))
    return Uncertainty(
        deviation=deviation,
        correlation=spearman(deviations, errors),
        ratio=error / deviation if deviation > 0 else None,
        count=len(reference),
    )
