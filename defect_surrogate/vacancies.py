"""Vacancies of a host: one for each symmetry-inequivalent site, found by doped (doi:10.21105/joss.06433)."""

from dataclasses import dataclass

from pymatgen.core import Structure


@dataclass(frozen=True)
class Vacancy:
    """A missing atom in a supercell.

    Attributes
    ----------
    host
        Name of the host.
    name
        doped's name of the vacancy, e.g. ``v_Cd``, with the site symmetry and neighbour distance where a host has several
        inequivalent sites of the element.
    charge
        Charge state, units of e.
    element
        Symbol of the removed element.
    site_index
        Index of the removed site in the host's supercell.
    fractional_position
        Fractional coordinates of the removed site in the supercell, shape (3,).
    neighbours
        Symbols of the nearest neighbours, sorted.
    multiplicity
        Number of equivalent sites per primitive cell; None when not known.
    missing_electrons
        Valence electrons taken away with the atom: its oxidation state plus the charge; None when not known.
    ideal_structure
        Supercell with the site removed, all others where they were.
    """

    host: str
    name: str
    charge: int
    element: str
    site_index: int
    fractional_position: tuple[float, float, float]
    neighbours: tuple[str, ...]
    multiplicity: int | None
    missing_electrons: int | None
    ideal_structure: Structure

    @property
    def label(self) -> str:
        """Name and charge in doped's style, e.g. ``v_Cd_0``, ``v_Cd_-2``."""
        return f"{self.name}_{'+' if self.charge > 0 else ''}{self.charge}"

    @property
    def environment(self) -> str:
        """Nearest neighbours in words, e.g. ``3 Te + 1 Se``."""
        counts = {symbol: self.neighbours.count(symbol) for symbol in sorted(set(self.neighbours))}
        return " + ".join(f"{n} {s}" for s, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
