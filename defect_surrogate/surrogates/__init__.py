"""The surrogate level: force fields by name, what they predict, and the relaxation of many structures with one of them."""

from defect_surrogate.surrogates.capacity import gpu_name, structures_at_once
from defect_surrogate.surrogates.cells import cell_method, relax_cell
from defect_surrogate.surrogates.potentials import (
    Potential,
    check_coverage,
    check_made_for,
    known_potentials,
    load_potential,
    surrogate_method,
)
from defect_surrogate.surrogates.predictions import Predictions, predict
from defect_surrogate.surrogates.relaxer import relax, relaxations

__all__ = [
    "Potential",
    "Predictions",
    "cell_method",
    "check_coverage",
    "check_made_for",
    "gpu_name",
    "known_potentials",
    "load_potential",
    "predict",
    "relax",
    "relax_cell",
    "relaxations",
    "structures_at_once",
    "surrogate_method",
]
