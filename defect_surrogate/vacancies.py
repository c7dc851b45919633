"""Vacancies of a host: one for each symmetry-inequivalent site, found by doped (doi:10.21105/joss.06433)."""

import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from doped.core import DefectEntry
from doped.generation import DefectsGenerator
from pymatgen.analysis.local_env import CrystalNN
from pymatgen.core import Structure

from defect_surrogate.errors import HostError
from defect_surrogate.hosts import Host
from defect_surrogate.quietly import quietly
from defect_surrogate.settings import VacancySettings

logger = logging.getLogger(__name__)


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
    neighbour_sites
        Indices of these in ``ideal_structure``, in the same order.
    multiplicity
        Number of equivalent sites per primitive cell; in an alloy, of sites with this environment per supercell. None when
        not known.
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
    neighbour_sites: tuple[int, ...]
    multiplicity: int | None
    missing_electrons: int | None
    ideal_structure: Structure

    @property
    def label(self) -> str:
        """Name and charge in doped's style, e.g. ``v_Cd_0``, ``v_Cd_-2``."""
        return defect_label(self.name, self.charge)

    @property
    def environment(self) -> str:
        """Nearest neighbours in words, e.g. ``3 Te + 1 Se``."""
        return environment_in_words(self.neighbours)


def defect_label(name: str, charge: int) -> str:
    """Join the name and the charge (units of e) of a defect in doped's style, e.g. ``v_Cd_0``, ``Te_Cd_+2``."""
    return f"{name}_{'+' if charge > 0 else ''}{charge}"


def environment_in_words(neighbours: Iterable[str]) -> str:
    """Count the symbols of the nearest neighbours, the most frequent first, e.g. ``3 Te + 1 Se``."""
    counts = Counter(neighbours)
    return " + ".join(f"{n} {s}" for s, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def find_vacancies(host: Host, settings: VacancySettings) -> tuple[Vacancy, ...]:
    """Enumerate the symmetry-inequivalent vacancies of a host in its supercell.

    Parameters
    ----------
    host
        Host with its supercell.
    settings
        Elements to remove (all cations when absent) and charge state.

    Returns
    -------
    tuple of Vacancy
        In doped's order: one for each inequivalent site of each element.

    Raises
    ------
    HostError
        If an element is not in the host, or doped finds no vacancy of it.
    """
    elements = tuple(settings.elements) if settings.elements is not None else host.cations
    absent = [element for element in elements if element not in host.oxidation_states]
    if absent or not elements:
        raise HostError(f"{host.name}: no site of element {', '.join(absent) or '(none given)'}")
    vacancies = tuple(
        _vacancy(host, entry, settings.charge)
        for entry in _neutral_entries(host.supercell, host.oxidation_states, elements)
    )
    if missing := sorted(set(elements) - {vacancy.element for vacancy in vacancies}):
        raise HostError(f"{host.name}: doped found no vacancy of {', '.join(missing)}")
    return vacancies


def nearest_neighbours(structure: Structure, site_index: int) -> tuple[int, ...]:
    """Find the nearest neighbours of a site by CrystalNN (doi:10.1021/acs.inorgchem.0c02996).

    Parameters
    ----------
    structure
        n sites.
    site_index
        Index of the site.

    Returns
    -------
    tuple of int
        Indices of the neighbours, ascending; one that several images of are neighbours occurs as often.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = CrystalNN().get_nn_info(structure, site_index)
    return tuple(sorted(int(neighbour["site_index"]) for neighbour in found))


def make_vacancy(
    host: Host, site_index: int, *, name: str, charge: int, neighbours: Sequence[int], multiplicity: int | None
) -> Vacancy:
    """Remove a site from the supercell of a host.

    Parameters
    ----------
    host
        Its host.
    site_index
        Index of the site in the supercell.
    name
        Of the vacancy, without charge.
    charge
        Charge state, units of e.
    neighbours
        Indices of the nearest neighbours in the supercell.
    multiplicity
        Number of sites like it; None when not known.

    Returns
    -------
    Vacancy
        With the ideal structure.
    """
    element = host.supercell[site_index].specie.symbol
    ideal = host.supercell.copy()
    ideal.remove_sites([site_index])
    around = sorted((host.supercell[index].specie.symbol, index - (index > site_index)) for index in neighbours)
    x, y, z = (float(value) for value in host.supercell.frac_coords[site_index])
    return Vacancy(
        host=host.name,
        name=name,
        charge=charge,
        element=element,
        site_index=site_index,
        fractional_position=(x, y, z),
        neighbours=tuple(symbol for symbol, _ in around),
        neighbour_sites=tuple(index for _, index in around),
        multiplicity=multiplicity,
        missing_electrons=round(host.oxidation_states[element] + charge),
        ideal_structure=ideal,
    )


def _neutral_entries(
    supercell: Structure, oxidation_states: dict[str, float], elements: tuple[str, ...]
) -> list[DefectEntry]:
    decorated = supercell.copy()
    decorated.add_oxidation_state_by_element(oxidation_states)
    with quietly() as captured:
        generator = DefectsGenerator(
            decorated,
            generate_supercell=False,
            interstitial_gen_kwargs=False,
            processes=1,
            vacancy_elements=list(elements),
            substitution_elements=[],
            neutral_only=True,
        )
    logger.debug("doped: %s", captured.getvalue())
    return list(generator.defect_entries.values())


def _vacancy(host: Host, entry: DefectEntry, charge: int) -> Vacancy:
    element = entry.defect.site.specie.symbol
    site_index = _closest_site(host.supercell, element, np.asarray(entry.sc_defect_frac_coords))
    return make_vacancy(
        host,
        site_index,
        name=entry.name.rsplit("_", 1)[0],
        charge=charge,
        neighbours=nearest_neighbours(host.supercell, site_index),
        multiplicity=int(entry.defect.multiplicity),
    )


def _closest_site(structure: Structure, element: str, position: np.ndarray) -> int:
    candidates = [i for i, site in enumerate(structure) if site.specie.symbol == element]
    distances = structure.lattice.get_all_distances(structure.frac_coords[candidates], position[None, :])[:, 0]
    return candidates[int(np.argmin(distances))]
