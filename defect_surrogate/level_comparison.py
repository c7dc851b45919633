"""Ground states of one defect found at two reference levels: how far they differ, and what the first level makes of both.

Supplementary Table 16 of Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9) compares HSE06 with PBEsol by the largest
distance between paired sites, by the energy difference of single points of one level on both structures, and by the
anion–anion bonds.

The two hosts may have been relaxed to slightly different cells. For distance and energy the second ground state is therefore
put into the cell of the first at its fractional coordinates, which takes the strain of the host out of the comparison; where
the cells are equal this changes nothing. Bond lengths are those of each structure in its own cell. The searches may also have
ended in two of several equivalent structures, a dimer of one pair of neighbours and of another; so the second ground state is
taken in that of its orientations under the symmetry of the ideal structure that is nearest to the first.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from defect_surrogate.errors import FolderError, InputError
from defect_surrogate.markdown import markdown_table
from defect_surrogate.reconstruction import Bond, motif, new_anion_bonds
from defect_surrogate.site_pairing import composition, formula, pair, symbols

CELL_TOLERANCE = 0.05
"""Largest principal strain, dimensionless, between the cells of one host at two levels. Our choice."""

SITE_TOLERANCE = 0.5
"""Largest distance between paired sites of the two ideal structures, Å; beyond it the two are not one defect. Our choice."""

_SYMMETRY_PRECISION = 0.01  # Å, pymatgen's default


@dataclass(frozen=True)
class GroundState:
    """Lowest structure that a search at one level found.

    Attributes
    ----------
    level_of_theory
        In words.
    label
        Distortion whose relaxation ended in it.
    structure
        Relaxed structure, n sites.
    ideal
        Ideal structure of the defect at this level, the same n sites.
    """

    level_of_theory: str
    label: str
    structure: Structure
    ideal: Structure


@dataclass(frozen=True)
class DefectDifference:
    """How the ground states of one defect at two levels differ.

    Attributes
    ----------
    defect
        Name and charge.
    labels
        Distortion that each level's ground state was found from.
    largest_distance
        Between paired sites, Å.
    energy_difference
        E(ground state of the first level) − E(that of the second as ``in_first_cell`` gives it), both single points at the
        first level, eV; negative where only the first level found the lower structure. None if one of the two has no result.
    bonds
        New anion–anion bonds of each level's ground state, ascending in length.
    motifs
        The same in words.
    """

    defect: str
    labels: tuple[str, str]
    largest_distance: float
    energy_difference: float | None
    bonds: tuple[tuple[Bond, ...], tuple[Bond, ...]]
    motifs: tuple[str, str]


@dataclass(frozen=True)
class LevelComparison:
    """Ground states of one host's defects at two levels.

    Attributes
    ----------
    host
        Name of the host.
    levels
        Level of theory of each search, in words; the single points are of the first.
    differences
        Of each defect that was searched at both.
    not_compared
        Pairs of defect and the reason why it is not among them.
    """

    host: str
    levels: tuple[str, str]
    differences: tuple[DefectDifference, ...]
    not_compared: tuple[tuple[str, str], ...]


def in_first_cell(first: GroundState, second: GroundState) -> Structure:
    """Put the second ground state into the cell of the first, at its fractional coordinates.

    Parameters
    ----------
    first, second
        Ground states of one defect.

    Returns
    -------
    Structure
        Sites in the order of the second.

    Raises
    ------
    InputError
        If the two have other atoms, cells that differ by more than ``CELL_TOLERANCE``, or ideal structures that are not those
        of one defect.
    """
    ours, theirs = first.ideal, second.ideal
    if composition(ours) != composition(theirs):
        raise InputError(f"{formula(composition(ours))} and {formula(composition(theirs))} are not one defect")
    stretches = np.linalg.svd(np.linalg.solve(ours.lattice.matrix, theirs.lattice.matrix), compute_uv=False)
    strain = np.abs(stretches - 1).max()
    if strain > CELL_TOLERANCE:
        raise InputError(
            f"the cells differ by {strain:.1%}, more than {CELL_TOLERANCE:.0%}: they are not cells of one host"
        )
    distance = _largest_distance(ours, _moved(theirs, ours))
    if distance > SITE_TOLERANCE:
        raise InputError(f"the ideal structures differ by {distance:.2f} Å: they are not of one defect at one site")
    return _moved(second.structure, ours)


def compare_ground_states(
    first: GroundState, second: GroundState, *, name: str, oxidation_states: Mapping[str, float] | None
) -> DefectDifference:
    """Compare the structures of one defect's ground states at two levels.

    Parameters
    ----------
    first, second
        The ground states.
    name
        Name and charge of the defect.
    oxidation_states
        Of the elements, units of e, to tell anions; judged by their families when None.

    Returns
    -------
    DefectDifference
        Without an energy difference.

    Raises
    ------
    InputError
        If they are not of one defect; see ``in_first_cell``.
    """
    moved = in_first_cell(first, second)
    bonds = (
        new_anion_bonds(first.structure, ideal=first.ideal, oxidation_states=oxidation_states),
        new_anion_bonds(second.structure, ideal=second.ideal, oxidation_states=oxidation_states),
    )
    operations = SpacegroupAnalyzer(first.ideal, symprec=_SYMMETRY_PRECISION).get_symmetry_operations()
    orientations = (_at(moved, operation.operate_multi(moved.frac_coords)) for operation in operations)
    return DefectDifference(
        defect=name,
        labels=(first.label, second.label),
        largest_distance=_least_distance(first.structure, orientations),
        energy_difference=None,
        bonds=bonds,
        motifs=(motif(bonds[0]), motif(bonds[1])),
    )


def comparison_json(comparison: LevelComparison) -> str:
    """Write a comparison as strict JSON.

    Parameters
    ----------
    comparison
        The comparison.

    Returns
    -------
    str
        Ending with a newline.
    """
    return json.dumps(asdict(comparison), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def comparison_rows(comparison: LevelComparison) -> list[dict[str, str]]:
    """One row for each defect, with the columns of Supplementary Table 16, as text.

    Parameters
    ----------
    comparison
        The comparison.

    Returns
    -------
    list of dict
        Column → text, all rows with the same columns.
    """
    return [
        {
            "defect": f"{comparison.host}/{one.defect}",
            "largest distance (Å)": f"{one.largest_distance:.2f}",
            "energy difference (eV)": "–" if one.energy_difference is None else f"{one.energy_difference:+.2f}",
            "anion bonds (first)": _listed(one.bonds[0]),
            "anion bonds (second)": _listed(one.bonds[1]),
        }
        for one in comparison.differences
    ]


def comparison_markdown(comparison: LevelComparison) -> str:
    """Write a comparison as Markdown: the levels, the table, and what could not be compared.

    Parameters
    ----------
    comparison
        The comparison.

    Returns
    -------
    str
        Ending with a newline.
    """
    first, second = comparison.levels
    lines = [
        f"First: {first}; second: {second}.",
        "Distance: the largest between paired sites. Energy: E(first) − E(second), single points at the first level, "
        "the second ground state in the cell of the first. Bonds: indices of the two anions, length in Å.",
        "",
    ]
    lines += markdown_table(comparison_rows(comparison))
    lines += [f"\nNot compared: {defect}: {reason}" for defect, reason in comparison.not_compared]
    return "\n".join(lines) + "\n"


def _listed(bonds: Iterable[Bond]) -> str:
    named = [(bond.elements[0] if len(set(bond.elements)) == 1 else "–".join(bond.elements), bond) for bond in bonds]
    return ", ".join(f"{name}({bond.sites[0]}-{bond.sites[1]}): {bond.length:.2f}" for name, bond in named)


def _moved(structure: Structure, into: Structure) -> Structure:
    return Structure(into.lattice, symbols(structure), structure.frac_coords)


def _at(structure: Structure, coordinates: NDArray[np.float64]) -> Structure:
    return Structure(structure.lattice, symbols(structure), coordinates)


def _least_distance(first: Structure, orientations: Iterable[Structure]) -> float:
    """Largest distance between paired sites, Å, in the orientation where that is least."""
    distances, fault = [], None
    for orientation in orientations:
        try:
            distances.append(_largest_distance(first, orientation))
        except FolderError as error:  # most atoms are off their sites in this orientation
            fault = error
    if not distances:
        raise InputError("the two ground states cannot be paired in any orientation") from fault
    return min(distances)


def _largest_distance(first: Structure, second: Structure) -> float:
    """Largest distance between paired sites after a drift of the whole crystal is taken out, Å."""
    pairing = pair(first, second)
    distances = first.lattice.get_all_distances(
        second.frac_coords - pairing.shift, first.frac_coords[pairing.sites]
    ).diagonal()
    return float(distances.max())
