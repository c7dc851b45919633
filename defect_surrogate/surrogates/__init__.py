"""The surrogate level: force fields by name, and the relaxation of many structures with one of them."""

from defect_surrogate.surrogates.potentials import Potential, check_coverage, known_potentials, load_potential
from defect_surrogate.surrogates.relaxer import relax, surrogate_method

__all__ = ["Potential", "check_coverage", "known_potentials", "load_potential", "relax", "surrogate_method"]
