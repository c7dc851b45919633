"""Where the defect is: the site found by comparing defective supercells with the bulk supercell.

Atoms are paired with lattice sites (``site_pairing``). A vacancy is the site left over, an interstitial the atom left over, a
substitution or antisite both. Each structure has a vote on the site, so that one in which an atom has hopped into the vacancy
does not decide. The bulk may have another origin than the structures: it is first moved onto them, and all structures onto the
same lattice translation of it, so that they vote on one site and not on its periodic equivalents.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from defect_surrogate.errors import FolderError
from defect_surrogate.site_pairing import Pairing, composition, formula, origin_shift, pair, symbols
from defect_surrogate.vacancies import defect_label, environment_in_words

Kind = Literal["vacancy", "substitution", "interstitial"]

LATTICE_TOLERANCE = 0.02
"""Relative difference of cell lengths, and of angles, up to which two supercells are the same."""

_SHELL = 1.2  # neighbours: up to 1.2 times the nearest distance
_DRIFT = 0.5  # Å, of all atoms together; ShakeNBreak's rattle gives about 0.1


@dataclass(frozen=True)
class PointDefect:
    """A vacancy, a substitution (or antisite) or an interstitial in a supercell.

    Attributes that ``Vacancy`` has too have the same meaning, so that a report can be made of either.

    Attributes
    ----------
    host
        Reduced formula of the host.
    name
        doped's name without site: ``v_Cd``, ``Te_Cd`` (Te on Cd) or ``Te_i``.
    charge
        Charge state, units of e.
    kind
        ``vacancy``, ``substitution`` or ``interstitial``.
    element
        Symbol of the removed element; of the added one for an interstitial.
    site_index
        Index of the defect's site in the bulk supercell; None for an interstitial.
    fractional_position
        Fractional coordinates of the defect in ``ideal_structure``, shape (3,).
    neighbours
        Symbols of the nearest neighbours in the ideal structure, sorted.
    multiplicity
        None: not known from finished calculations.
    missing_electrons
        None: not known from finished calculations.
    ideal_structure
        The defect in the bulk supercell, every atom on its lattice site, sites in the order of the first usable structure
        given to ``locate_defect``, and moved as a whole onto it where the bulk has another origin. An interstitial is where
        that structure has it.
    """

    host: str
    name: str
    charge: int
    kind: Kind
    element: str
    site_index: int | None
    fractional_position: tuple[float, float, float]
    neighbours: tuple[str, ...]
    multiplicity: int | None
    missing_electrons: int | None
    ideal_structure: Structure

    @property
    def label(self) -> str:
        """Name and charge in doped's style, e.g. ``v_Cd_0``, ``Te_Cd_+2``."""
        return defect_label(self.name, self.charge)

    @property
    def environment(self) -> str:
        """Nearest neighbours in words, e.g. ``3 Te + 1 Se``."""
        return environment_in_words(self.neighbours)


def locate_defect(bulk: Structure, structures: Sequence[Structure], *, charge: int = 0) -> PointDefect:
    """Find the point defect that structures of one defect share.

    Parameters
    ----------
    bulk
        Supercell of the host without defect, sites in any order.
    structures
        At least one structure of the defect, starts and relaxed ones, best an unperturbed start first. They may differ in
        the order of sites. Those that are not the bulk with a point defect are passed over.
    charge
        Charge state, units of e; it cannot be seen in structures.

    Returns
    -------
    PointDefect
        The defect at the site on which most structures agree; of equally many, the one met first.

    Raises
    ------
    FolderError
        If in every structure lattice or composition differ from the bulk by more than one point defect, or the atoms are
        not near the lattice sites of the bulk.
    """
    bulk, usable = _usable(bulk, structures)
    first, (removed, added), pairing = usable[0]
    votes = Counter(vote.left_over for _, difference, vote in usable if difference == (removed, added))
    site_index = votes.most_common(1)[0][0]
    if pairing.left_over != site_index:
        pairing = pair(bulk, first, left_over=site_index)
    if site_index is not None:
        position = bulk.frac_coords[site_index]
    else:
        position = first.frac_coords[int(np.flatnonzero(pairing.sites < 0)[0])] - pairing.shift
    coordinates = np.array([position if site < 0 else bulk.frac_coords[site] for site in pairing.sites])
    ideal = Structure(bulk.lattice, symbols(first), coordinates)
    kind: Kind
    if removed is None:
        kind, name = "interstitial", f"{added}_i"
    elif added is None:
        kind, name = "vacancy", f"v_{removed}"
    else:
        kind, name = "substitution", f"{added}_{removed}"
    x, y, z = (position % 1.0).tolist()
    return PointDefect(
        host=bulk.composition.reduced_formula,
        name=name,
        charge=charge,
        kind=kind,
        element=str(removed or added),
        site_index=site_index,
        fractional_position=(x, y, z),
        neighbours=_neighbours(ideal, position),
        multiplicity=None,
        missing_electrons=None,
        ideal_structure=ideal,
    )


def composition_difference(bulk: Structure, structure: Structure) -> tuple[str | None, str | None]:
    """Element that a defect takes away and element that it adds.

    Parameters
    ----------
    bulk
        Supercell of the host.
    structure
        Supercell with the defect.

    Returns
    -------
    tuple of (str or None, str or None)
        Symbols removed and added; at least one is not None.

    Raises
    ------
    FolderError
        If the compositions do not differ by one vacancy, substitution or interstitial.
    """
    ours, bulks = composition(structure), composition(bulk)
    removed, added = list((bulks - ours).elements()), list((ours - bulks).elements())
    if len(removed) > 1 or len(added) > 1 or not removed + added:
        raise FolderError(
            f"{formula(ours)} is not the bulk {formula(bulks)} with one point defect: {len(removed)} atoms removed, "
            f"{len(added)} added (is the bulk file the supercell?)"
        )
    return (removed[0] if removed else None), (added[0] if added else None)


def check_lattice(lattice: Lattice, *, bulk: Lattice) -> None:
    """Refuse a supercell whose cell is not that of the bulk.

    Parameters
    ----------
    lattice
        Of the structure.
    bulk
        Of the bulk supercell.

    Raises
    ------
    FolderError
        If a length or an angle differs by more than ``LATTICE_TOLERANCE``; the message gives both cells in Å and degrees.
    """
    ours, bulks = np.array(lattice.parameters), np.array(bulk.parameters)
    if not np.all(np.abs(ours - bulks) <= LATTICE_TOLERANCE * bulks):
        raise FolderError(
            f"cell {np.round(ours, 3).tolist()} is not that of the bulk, {np.round(bulks, 3).tolist()} (Å and degrees)"
        )


def matching_order(structure: Structure, *, ideal: Structure) -> NDArray[np.intp] | None:
    """Order in which the sites of a structure are those of the ideal structure.

    Parameters
    ----------
    structure
        n sites, perhaps relaxed and drifted.
    ideal
        Ideal structure of the same composition.

    Returns
    -------
    ndarray or None
        Indices into ``structure``, shape (n,), by the pairing of least distances. None when the sites are in order as they
        stand: all but at most three, or a tenth, are paired with the ideal site of their own index. These few have hopped.

    Raises
    ------
    FolderError
        If the composition is another, or the atoms are not near the ideal sites.
    """
    if composition(structure) != composition(ideal):
        raise FolderError(f"{formula(composition(structure))} where {formula(composition(ideal))} is expected")
    sites = pair(ideal, structure).sites
    out_of_place = np.count_nonzero(sites != np.arange(len(sites)))
    if symbols(structure) == symbols(ideal) and out_of_place <= max(3, len(sites) // 10):
        return None
    return np.argsort(sites)


def _usable(
    bulk: Structure, structures: Sequence[Structure]
) -> tuple[Structure, list[tuple[Structure, tuple[str | None, str | None], Pairing]]]:
    """Pair the structures that can be with the bulk, which is moved onto the first of them."""
    usable: list[tuple[Structure, tuple[str | None, str | None], Pairing]] = []
    errors = []
    for structure in structures:
        try:
            check_lattice(structure.lattice, bulk=bulk.lattice)
            difference = composition_difference(bulk, structure)
            moved = bulk if usable else _moved(bulk, origin_shift(bulk, structure))
            usable.append((structure, difference, pair(moved, structure)))
            bulk = moved
        except FolderError as error:
            errors.append(error)
    if not usable:
        raise errors[0]
    return bulk, usable


def _moved(bulk: Structure, shift: NDArray[np.float64]) -> Structure:
    """Move the bulk by a fractional shift, unless that is no more than the drift of a crystal that has been shaken."""
    if np.linalg.norm(bulk.lattice.get_cartesian_coords(shift)) <= _DRIFT:
        return bulk
    return Structure(bulk.lattice, symbols(bulk), bulk.frac_coords + shift)


def _neighbours(ideal: Structure, position: NDArray[np.float64]) -> tuple[str, ...]:
    distances = ideal.lattice.get_all_distances([position], ideal.frac_coords)[0]
    others = distances > 1e-3  # the defect's own atom is at the position
    nearest = distances[others].min()
    return tuple(sorted(np.array(symbols(ideal))[others & (distances <= _SHELL * nearest)].tolist()))
