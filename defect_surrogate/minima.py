"""Distinct local minima among relaxed structures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defect_surrogate.relaxation import Relaxation


@dataclass(frozen=True)
class LocalMinimum:
    """A basin that one or more relaxations ended in.

    Attributes
    ----------
    label
        Distortion whose relaxation has the lowest energy; it represents the basin.
    labels
        Every distortion that ended here, sorted.
    relaxation
        The representative.
    fingerprint
        SOAP vector of the defect site, shape (d,), dimensionless, of unit norm.
    """

    label: str
    labels: tuple[str, ...]
    relaxation: Relaxation
    fingerprint: NDArray[np.float64]
