"""The end members of an alloy: pure crystals of one prototype that differ in the species of one sublattice.

All are brought to one supercell with the same sites in the same order, that of the one with the least volume per atom, so that
periodic images are far enough apart at every composition. Two crystals are of one prototype when pymatgen's StructureMatcher
maps one onto the other with the species of the mixing sublattice exchanged.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.linalg import polar

from defect_surrogate.alloys.settings import AlloySettings
from defect_surrogate.errors import AlloyError
from defect_surrogate.hosts import Host, read_host
from defect_surrogate.settings import HostSettings
from defect_surrogate.vacancies import nearest_neighbours

LENGTH_TOLERANCE, SITE_TOLERANCE, ANGLE_TOLERANCE = 0.2, 0.2, 5.0
"""Of the matcher: relative difference of lengths, distance of sites over the cube root of the volume per atom, degrees. Ours:
lattice constants of CdTe and CdSe differ by 6 %, c/a of AgGaS2 and AgInS2 by 7 %; zinc blende and wurtzite do not match."""


SYMMETRY_TOLERANCE = 0.1
"""Distance in Å within which sites of the lattice are the same by symmetry (our choice; relaxed cells are exact to 1e-3)."""


@dataclass(frozen=True)
class Alloy:
    """End members brought to one supercell.

    Attributes
    ----------
    hosts
        The end members.
    species
        Of each on the mixing sublattice.
    cells
        Supercell of each, n sites in one order and orientation, with the species of the first on the mixing sublattice.
    sites
        Indices of the mixing sublattice.
    oxidation_states
        Of all elements, by symbol, units of e.
    """

    hosts: tuple[Host, ...]
    species: tuple[str, ...]
    cells: tuple[Structure, ...]
    sites: tuple[int, ...]
    oxidation_states: Mapping[str, float]
    _neighbours: dict[int, tuple[int, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def formula(self) -> tuple[tuple[str, float], ...]:
        """Elements of the first end member in the order of electronegativity, and their amounts per formula unit."""
        composition = self.hosts[0].unit_cell.composition.reduced_composition
        return tuple(
            (one.symbol, float(composition[one])) for one in sorted(composition, key=lambda one: (one.X, one.symbol))
        )

    @property
    def name(self) -> str:
        """The alloy in one word, e.g. ``Cd(Te,Se)``."""
        mixed = f"({','.join(self.species)})"
        return "".join(
            f"{mixed if symbol == self.species[0] else symbol}{'' if amount == 1 else f'{amount:g}'}"
            for symbol, amount in self.formula
        )

    @cached_property
    def site_classes(self) -> tuple[int, ...]:
        """For each site of the supercell a number that it shares with those that the lattice's symmetry takes it to."""
        dataset = SpacegroupAnalyzer(self.cells[0], symprec=SYMMETRY_TOLERANCE).get_symmetry_dataset()
        return tuple(int(number) for number in dataset.crystallographic_orbits)  # a supercell may have fewer operations

    @cached_property
    def rotations(self) -> NDArray[np.float64]:
        """Of the operations of the lattice, proper and improper, of Cartesian vectors, (m, 3, 3), in an order of their own."""
        primitive, _ = _primitive(self.cells[0])
        analyzer = SpacegroupAnalyzer(primitive, symprec=SYMMETRY_TOLERANCE)
        operations = analyzer.get_space_group_operations()  # of a primitive cell, since a supercell may have fewer
        to_cartesian = primitive.lattice.matrix.T
        found = [to_cartesian @ one.rotation_matrix @ np.linalg.inv(to_cartesian) for one in operations]
        return np.array(sorted(found, key=lambda one: tuple((np.round(one, 3) + 0.0).ravel())))

    def neighbours(self, site: int) -> tuple[int, ...]:
        """Find the nearest neighbours of a site in the end members' supercell, once for each site: their indices."""
        if site not in self._neighbours:
            self._neighbours[site] = nearest_neighbours(self.cells[0], site)
        return self._neighbours[site]


def read_end_members(settings: AlloySettings, host_settings: HostSettings) -> tuple[Host, ...]:
    """Read the end members of an alloy.

    Parameters
    ----------
    settings
        Their files.
    host_settings
        Oxidation states and supercell; each end member is named after its file, or, of a POSCAR, its formula.

    Returns
    -------
    tuple of Host
        In the order of the settings.

    Raises
    ------
    HostError
        If one of them cannot be used.
    AlloyError
        If two have one name.
    """
    hosts = tuple(read_host(path, host_settings.model_copy(update={"name": None})) for path in settings.end_members)
    names = [host.name for host in hosts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AlloyError(f"end members {', '.join(settings.end_members)}: {twice[0]} names two of them")
    return hosts


def make_alloy(hosts: Sequence[Host], sublattice: str, *, like: Alloy | None = None) -> Alloy:
    """Bring end members to one supercell.

    Parameters
    ----------
    hosts
        At least two end members.
    sublattice
        Element of the first whose sites are mixed.
    like
        An alloy of the same end members, as read, whose sites those of the relaxed ones are to have.

    Returns
    -------
    Alloy
        With the sites of the first end member's crystal, in the orientation of the one of least volume.

    Raises
    ------
    AlloyError
        If the first end member has no such element, another does not differ from it in just this element, is not of the same
        prototype, or has other oxidation states on the other sublattices.
    """
    elements = {site.specie.symbol for site in hosts[0].unit_cell}
    if sublattice not in elements:
        raise AlloyError(
            f"{hosts[0].name}: no sublattice of {sublattice}: its elements are {', '.join(sorted(elements))}"
        )
    species = (sublattice, *(_replacement(host, elements, sublattice, first=hosts[0].name) for host in hosts[1:]))
    if twice := sorted({one for one in species if species.count(one) > 1}):
        raise AlloyError(f"{', '.join(host.name for host in hosts)}: two end members have {twice[0]} on the sublattice")
    cells = [_with_first_species(host.unit_cell, mine, sublattice) for host, mine in zip(hosts, species, strict=True)]
    smallest = min(range(len(hosts)), key=lambda i: hosts[i].unit_cell.volume / len(hosts[i].unit_cell))
    template = _with_first_species(hosts[smallest].supercell, species[smallest], sublattice)
    if like is not None:
        template = like.cells[smallest]
    matched = tuple(_matched(template, cell, hosts, i, of=smallest) for i, cell in enumerate(cells))
    return Alloy(
        hosts=tuple(hosts),
        species=species,
        cells=matched,
        sites=tuple(i for i, site in enumerate(template) if site.specie.symbol == sublattice),
        oxidation_states=_oxidation_states(hosts, species),
    )


def averaged_cell(alloy: Alloy, fractions: Sequence[float]) -> Structure:
    """Average the end members' supercells by Vegard's rule (doi:10.1007/BF01349680).

    Parameters
    ----------
    alloy
        The end members.
    fractions
        Share of each, summing to 1.

    Returns
    -------
    Structure
        n sites with the species of the first end member. Lattice vectors, in Å, are averaged: they differ by stretches alone;
        so are positions in fractional coordinates.
    """
    first = alloy.cells[0]
    lattice = np.einsum("i,ijk->jk", fractions, [cell.lattice.matrix for cell in alloy.cells])
    offsets = [cell.frac_coords - first.frac_coords for cell in alloy.cells]
    offset = np.einsum("i,ijk->jk", fractions, [one - np.round(one) for one in offsets])
    return Structure(lattice, first.species, first.frac_coords + offset)


def _replacement(host: Host, elements: set[str], sublattice: str, *, first: str) -> str:
    own = {site.specie.symbol for site in host.unit_cell}
    new, gone = sorted(own - elements), sorted(elements - own)
    if len(new) != 1 or gone != [sublattice]:
        raise AlloyError(
            f"{host.name}: differs from {first} by more than the species on the {sublattice} sublattice: its elements are "
            f"{', '.join(sorted(own))}"
        )
    return new[0]


def _with_first_species(structure: Structure, mine: str, first: str) -> Structure:
    replaced = structure.copy()
    replaced.replace_species({mine: first})
    return replaced


def _matched(template: Structure, cell: Structure, hosts: Sequence[Host], index: int, *, of: int) -> Structure:
    """Return a cell as a supercell with the sites of the template, which is that of a host."""
    matcher = StructureMatcher(
        ltol=LENGTH_TOLERANCE,
        stol=SITE_TOLERANCE,
        angle_tol=ANGLE_TOLERANCE,
        primitive_cell=False,
        scale=True,
        attempt_supercell=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base, of_site = _primitive(template)  # since supercells take the matcher long
        primitive, _ = _primitive(cell)
        if len(base) != len(primitive):  # one is distorted to a larger cell
            base, of_site = template, np.arange(len(template))
        found = matcher.get_s2_like_s1(base, primitive)
    if found is None or [one.specie for one in found] != [one.specie for one in base]:
        symbols = ", ".join(f"{host.name} {_space_group(host.unit_cell)}" for host in (hosts[of], hosts[index]))
        raise AlloyError(f"{hosts[index].name}: not of the same prototype as {hosts[of].name} ({symbols})")
    positions = base.lattice.get_fractional_coords(template.cart_coords)
    images = np.round(positions - base.frac_coords[of_site])
    multiple = np.round(base.lattice.get_fractional_coords(template.lattice.matrix))
    coordinates = (found.frac_coords[of_site] + images) @ np.linalg.inv(multiple)
    return Structure(template.lattice.matrix @ _stretch(base, found), template.species, coordinates)


def _primitive(structure: Structure) -> tuple[Structure, NDArray[np.int64]]:
    """Return a primitive cell, not turned, and for each site of the structure that of the primitive cell it is an image of."""
    primitive = structure.get_primitive_structure()
    positions = primitive.lattice.get_fractional_coords(structure.cart_coords)
    distances = primitive.lattice.get_all_distances(positions, primitive.frac_coords)
    other = np.array([[one.specie != site.specie for one in primitive] for site in structure])
    return primitive, np.where(other, np.inf, distances).argmin(axis=1)


def _space_group(structure: Structure) -> str:
    return str(structure.get_space_group_info(symprec=0.01)[0])


def _stretch(template: Structure, other: Structure) -> NDArray[np.float64]:
    """Return the stretch of the deformation of one lattice into another, shape (3, 3), without rotation and inversion."""
    deformation = np.linalg.solve(template.lattice.matrix, other.lattice.matrix)
    return np.asarray(polar(deformation, side="left")[1])


def _oxidation_states(hosts: Sequence[Host], species: Sequence[str]) -> dict[str, float]:
    states: dict[str, float] = {}
    for host in hosts:
        for element, state in host.oxidation_states.items():
            if abs(states.setdefault(element, state) - state) > 0.01:
                raise AlloyError(
                    f"{host.name}: {element} has oxidation state {state:+g} here and {states[element]:+g} in another end "
                    f"member of {', '.join(species)}; set host.oxidation_states"
                )
    return states
