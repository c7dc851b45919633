"""Crystals that tests and benchmarks share."""

from pymatgen.core import Lattice, Structure


def cubane_clusters() -> Structure:
    """Cubane-like Cd4Te4 clusters (T_d, Cd-Te 2.9 Å) in a 12 Å cubic cell: eight atoms, and Γ is enough."""
    signs = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
    cadmium = [[6.0 + 1.25 * 1.10 * x for x in sign] for sign in signs]
    tellurium = [[6.0 - 1.45 * 1.08 * x for x in sign] for sign in signs]
    return Structure(Lattice.cubic(12.0), ["Cd"] * 4 + ["Te"] * 4, cadmium + tellurium, coords_are_cartesian=True)
