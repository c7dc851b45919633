"""A relaxed structure held against its ideal structure, site by site."""

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from defect_surrogate.errors import InputError


def rigid_drift(structure: Structure, *, ideal: Structure) -> NDArray[np.float64]:
    """Shift of a whole crystal against its ideal structure.

    Parameters
    ----------
    structure
        n sites.
    ideal
        The same n sites, in the same order.

    Returns
    -------
    ndarray
        Median displacement along each lattice vector by the nearest image, fractional, shape (3,).

    Raises
    ------
    InputError
        As ``check_same_sites``.
    """
    check_same_sites(structure, ideal=ideal)
    displacements = structure.frac_coords - ideal.frac_coords
    shift: NDArray[np.float64] = np.median(displacements - np.round(displacements), axis=0)
    return shift


def check_same_sites(structure: Structure, *, ideal: Structure) -> None:
    """Refuse a structure whose sites are not those of its ideal structure.

    Parameters
    ----------
    structure, ideal
        n sites each.

    Raises
    ------
    InputError
        If the elements are not the same in the same order; the message names the first site that differs.
    """
    if len(structure) != len(ideal):
        raise InputError(f"{structure.formula}: {len(structure)} sites, the ideal structure has {len(ideal)}")
    for index, (site, ideal_site) in enumerate(zip(structure, ideal, strict=True)):
        if site.specie.symbol != ideal_site.specie.symbol:
            raise InputError(
                f"{structure.formula}: site {index} is {site.specie.symbol}, in the ideal structure {ideal_site.specie.symbol}"
            )
