"""Figures of merit, one definition each: of a search by surrogate + reference, and of a surrogate's predictions."""

from defect_surrogate.metrics.predictions import (
    LOW_ENERGY,
    Errors,
    energy_errors,
    force_errors,
    pooled,
    relative_energy_errors,
    spearman,
    stress_errors,
)
from defect_surrogate.metrics.search import (
    HIT_TOLERANCE,
    DFTSaved,
    SearchTimes,
    SpeedUps,
    dft_saved,
    hit_rate,
    is_hit,
    is_new_ground_state,
    mean_of_known,
    speed_up,
    speed_ups,
)
from defect_surrogate.metrics.uncertainty import Uncertainty, uncertainty, vector_uncertainty

__all__ = [
    "HIT_TOLERANCE",
    "LOW_ENERGY",
    "DFTSaved",
    "Errors",
    "SearchTimes",
    "SpeedUps",
    "Uncertainty",
    "dft_saved",
    "energy_errors",
    "force_errors",
    "hit_rate",
    "is_hit",
    "is_new_ground_state",
    "mean_of_known",
    "pooled",
    "relative_energy_errors",
    "spearman",
    "speed_up",
    "speed_ups",
    "stress_errors",
    "uncertainty",
    "vector_uncertainty",
]
