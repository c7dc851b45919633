"""Reconstructions of a defect: new anion–anion bonds, their motif in words, and the energy they gain.

The electrons that leave with a cation can be made up for by its anion neighbours binding to one another: one dimer for two
missing electrons, trimers and further dimers for more (doi:10.1038/s41524-024-01303-9). Two anions, of one or of two elements,
are bonded when they are closer than the sum of their covalent radii (Cordero et al., doi:10.1039/b801115j) plus a tolerance,
and the bond is new when the same two atoms are not bonded in the ideal structure. The ideal structure is the host but for the
defect atom, its atoms where they were, so a bond of the host is one of the ideal structure, and never new.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from defect_surrogate.errors import InputError
from defect_surrogate.ideal_sites import check_same_sites
from defect_surrogate.relaxation import Relaxation

BOND_TOLERANCE = 0.4
"""Added to the sum of covalent radii, Å. The usual allowance in finding bonds from coordinates (Meng and Lewis,
doi:10.1002/jcc.540120716); our choice here. It takes in Te–Te up to 3.16 Å (dimers 2.75, trimers and rings 2.7–2.9 Å), Se–Se up
to 2.80, S–S up to 2.50 and I–I up to 3.18 Å, also F–F in F2 (1.42 Å), which no factor below 1.25 would, and leaves out
contacts between chains, such as 3.49 Å in trigonal Te."""

NO_BONDS = "no new bonds"

_GROUP_NAMES = {2: "dimer", 3: "trimer", 4: "tetramer", 5: "pentamer", 6: "hexamer"}


@dataclass(frozen=True)
class Bond:
    """A bond between two anions.

    Attributes
    ----------
    elements
        Symbols of the two atoms, alphabetical.
    sites
        Indices of the two atoms in the structure, in the order of ``elements``, ascending for equal ones.
    length
        Distance of the nearest images, Å.
    """

    elements: tuple[str, str]
    sites: tuple[int, int]
    length: float


def anion_elements(structure: Structure, *, oxidation_states: Mapping[str, float] | None = None) -> frozenset[str]:
    """Elements of a structure that are anions.

    Parameters
    ----------
    structure
        Any structure.
    oxidation_states
        Of the elements, units of e, when known; fractional ones (NaS2, CuS) are fine.

    Returns
    -------
    frozenset of str
        Elements with a negative oxidation state. Without any: chalcogens and halogens; in their absence pnictogens; in
        theirs the most electronegative element. By these same families an element without an oxidation state is judged.
    """
    symbols = {site.specie.symbol for site in structure}
    states = oxidation_states or {}
    if not any(states.get(symbol, 0) < 0 for symbol in symbols):
        return _anions_by_family(symbols)
    known = {symbol for symbol in symbols if states.get(symbol, 0) < 0}
    unknown = {
        symbol for symbol in symbols - states.keys() if Element(symbol).is_chalcogen or Element(symbol).is_halogen
    }
    return frozenset(known | unknown)


def anion_bonds(
    structure: Structure, *, oxidation_states: Mapping[str, float] | None = None, tolerance: float = BOND_TOLERANCE
) -> tuple[Bond, ...]:
    """Find all anion–anion bonds.

    Parameters
    ----------
    structure
        n sites.
    oxidation_states
        Of the elements, units of e; anions are judged by their families when absent.
    tolerance
        Added to the sum of covalent radii, Å.

    Returns
    -------
    tuple of Bond
        Ascending in length. Distances are to the nearest periodic image.
    """
    symbols = [site.specie.symbol for site in structure]
    anions = anion_elements(structure, oxidation_states=oxidation_states)
    indices = [i for i, symbol in enumerate(symbols) if symbol in anions]
    radii = np.array([covalent_radii[atomic_numbers[symbols[i]]] for i in indices])
    distances = _distances(structure, indices)
    bonds = []
    for a, b in np.argwhere(np.triu(distances < radii[:, None] + radii[None, :] + tolerance, k=1)):
        first, second = sorted((indices[a], indices[b]), key=lambda i: (symbols[i], i))
        bonds.append(
            Bond(elements=(symbols[first], symbols[second]), sites=(first, second), length=float(distances[a, b]))
        )
    return tuple(sorted(bonds, key=lambda bond: (bond.length, bond.sites)))


def new_anion_bonds(
    structure: Structure,
    *,
    ideal: Structure,
    oxidation_states: Mapping[str, float] | None = None,
    tolerance: float = BOND_TOLERANCE,
) -> tuple[Bond, ...]:
    """Find anion–anion bonds that the ideal structure does not have.

    Parameters
    ----------
    structure
        Relaxed structure, n sites.
    ideal
        Ideal structure of the defect, the same n sites in the same order.
    oxidation_states
        Of the elements, units of e; anions are judged by their families when absent.
    tolerance
        Added to the sum of covalent radii, Å.

    Returns
    -------
    tuple of Bond
        Ascending in length. Distances are to the nearest periodic image.

    Raises
    ------
    InputError
        If the structures do not have the same elements in the same order.
    """
    check_same_sites(structure, ideal=ideal)
    before = {bond.sites for bond in anion_bonds(ideal, oxidation_states=oxidation_states, tolerance=tolerance)}
    bonds = anion_bonds(structure, oxidation_states=oxidation_states, tolerance=tolerance)
    return tuple(bond for bond in bonds if bond.sites not in before)


def motif(bonds: Iterable[Bond]) -> str:
    """Describe bonds in words.

    Parameters
    ----------
    bonds
        Bonds of one structure, in any order. Bonds that share an atom form one group.

    Returns
    -------
    str
        E.g. ``Te–Te dimer, 2.76 Å``, ``Te trimer (chain), 2.73 and 2.73 Å``, ``2 Te–Te dimers, 2.74 and 2.75 Å``; groups
        that differ are joined by semicolons, the largest first; ``no new bonds`` for none. Lengths ascend.
    """
    groups = _groups(bonds)
    if not groups:
        return NO_BONDS
    return "; ".join(
        f"{_plural(name, len(lengths))}, {_listed(sorted(itertools.chain(*lengths)))} Å" for name, lengths in groups
    )


def motif_kind(bonds: Iterable[Bond]) -> str:
    """Describe bonds in words, without their lengths.

    Parameters
    ----------
    bonds
        Bonds of one structure, in any order.

    Returns
    -------
    str
        E.g. ``Te trimer (chain)``, ``2 Te–Te dimers``, ``no new bonds``: as ``motif``.
    """
    return "; ".join(_plural(name, len(lengths)) for name, lengths in _groups(bonds)) or NO_BONDS


def energy_lowering(relaxations: Mapping[str, Relaxation]) -> float | None:
    """Energy of the ground state relative to the relaxed unperturbed structure.

    Parameters
    ----------
    relaxations
        Reference relaxations of one defect by distortion label.

    Returns
    -------
    float or None
        E(ground state) − E(relaxed ``Unperturbed``), eV; 0 when ``Unperturbed`` is the ground state. None without an
        ``Unperturbed`` that can be ranked.

    Raises
    ------
    InputError
        If a relaxation is not at the reference level.
    """
    surrogate = sorted(label for label, relaxation in relaxations.items() if relaxation.level != "reference")
    if surrogate:
        raise InputError(f"energy lowering is defined at the reference level, not for the surrogate's {surrogate}")
    energies = {
        label: relaxation.energy
        for label, relaxation in relaxations.items()
        if relaxation.rankable and np.isfinite(relaxation.energy)
    }
    if "Unperturbed" not in energies:
        return None
    return min(energies.values()) - energies["Unperturbed"]


def _groups(bonds: Iterable[Bond]) -> list[tuple[str, list[list[float]]]]:
    """Name the groups of atoms that bonds join, the largest first, with the lengths in Å of each group of that name."""
    graph: nx.Graph = nx.Graph()
    for bond in bonds:
        graph.add_node(bond.sites[0], element=bond.elements[0])
        graph.add_node(bond.sites[1], element=bond.elements[1])
        graph.add_edge(*bond.sites, length=bond.length)
    groups: dict[tuple[int, str], list[list[float]]] = {}
    for nodes in nx.connected_components(graph):
        group = graph.subgraph(nodes)
        lengths = [float(length) for _, _, length in group.edges(data="length")]
        groups.setdefault((-len(nodes), _name(group)), []).append(lengths)
    return [(name, groups[size, name]) for size, name in sorted(groups)]


def _anions_by_family(symbols: Iterable[str]) -> frozenset[str]:
    elements = [Element(symbol) for symbol in symbols]
    for family in (
        [element for element in elements if element.is_chalcogen or element.is_halogen],
        [element for element in elements if element.group == 15],
    ):
        if family:
            return frozenset(element.symbol for element in family)
    return frozenset({max(elements, key=lambda element: (element.X, element.symbol)).symbol})


def _distances(structure: Structure, indices: Sequence[int]) -> NDArray[np.float64]:
    coordinates = structure.frac_coords[list(indices)]
    return np.asarray(structure.lattice.get_all_distances(coordinates, coordinates))


def _name(group: nx.Graph) -> str:
    elements = Counter(str(element) for _, element in group.nodes(data="element"))
    size, edges = group.number_of_nodes(), group.number_of_edges()
    if size == 2:
        return f"{'–'.join(sorted(elements.elements()))} dimer"
    formula = (
        next(iter(elements))
        if len(elements) == 1
        else "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in sorted(elements.items()))
    )
    most_bonds = max(degree for _, degree in group.degree())
    if edges == size - 1:
        shape = "chain" if most_bonds == 2 else "branched"
    else:
        shape = "ring" if edges == size and most_bonds == 2 else "cage"
    return f"{formula} {_GROUP_NAMES.get(size, f'group of {size}')} ({shape})"


def _plural(name: str, count: int) -> str:
    if count == 1:
        return name
    head, bracket, shape = name.partition(" (")
    head = head.replace("group", "groups") if " group of " in head else f"{head}s"
    return f"{count} {head}{bracket}{shape}"


def _listed(lengths: Sequence[float]) -> str:
    words = [f"{length:.2f}" for length in lengths]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
