"""Environments of the sites of an alloy that become vacant: what they are, how many there are, which are searched.

Sites are alike when their nearest neighbours are of the same species (doi:10.1038/s41524-024-01303-9: "Cd surrounded by 4 Te;
by 3 Te and 1 Se; …"), or, finer, when the SOAP vectors of the sites do not differ either. Who is a neighbour is a matter of the
lattice, and asked of the end member's. In a random alloy a site with m neighbours on the mixing sublattice has k1, k2, … of
each species with the multinomial, of two species binomial, probability m! / (k1! k2! …) f1^k1 f2^k2 …; in a supercell of few
atoms, which are drawn without putting back, middling environments are somewhat more frequent.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from defect_surrogate.alloys.end_members import Alloy
from defect_surrogate.alloys.settings import EnvironmentSettings
from defect_surrogate.alloys.supercells import AlloyHost
from defect_surrogate.errors import AlloyError
from defect_surrogate.minima import cosine_distance, site_fingerprint
from defect_surrogate.settings import MinimaSettings, VacancySettings
from defect_surrogate.vacancies import Vacancy, environment_in_words, make_vacancy

PART = re.compile(r"(\d+)\s*([A-Z][a-z]?)")


@dataclass(frozen=True)
class Environment:
    """Sites of one element that are alike.

    Attributes
    ----------
    element
        Symbol of the element.
    words
        Its nearest neighbours, e.g. ``3 Te + 1 Se``; with ``, site 2`` where the element has sites on several kinds of site of
        the lattice.
    group
        Number of the group of sites with these neighbours, from 1, where fingerprints tell several apart; else 0.
    sites
        Indices in the supercell.
    neighbours
        Indices of the nearest neighbours of each of ``sites`` in the supercell.
    probability
        Share of the element's sites that are of this kind and have these neighbours in a random alloy of this composition,
        whatever the group.
    """

    element: str
    words: str
    group: int
    sites: tuple[int, ...]
    neighbours: tuple[tuple[int, ...], ...]
    probability: float

    @property
    def label(self) -> str:
        """In one word, for names: ``3Te1Se``, ``3Te1Se-2`` for the second group, ``5S.site2`` for a kind of site."""
        word = self.words.replace(", ", ".").replace(" + ", "").replace(" ", "")
        return word + (f"-{self.group}" if self.group else "")


def find_environments(
    alloy: Alloy, host: AlloyHost, elements: Sequence[str], settings: EnvironmentSettings, minima: MinimaSettings
) -> tuple[Environment, ...]:
    """Group the sites of elements by their environments.

    Parameters
    ----------
    alloy
        The end members.
    host
        A supercell of the alloy.
    elements
        Symbols of the elements.
    settings
        What counts as alike.
    minima
        SOAP parameters and threshold, for groups by fingerprint.

    Returns
    -------
    tuple of Environment
        By element, the most probable of each first. Together they hold every site of the elements once.

    Raises
    ------
    AlloyError
        If the supercell has no site of one of the elements.
    """
    supercell = host.host.supercell
    here = {end_member_site: index for index, end_member_site in enumerate(host.end_member_sites)}
    found = []
    for element in elements:
        sites = [i for i, site in enumerate(supercell) if site.specie.symbol == element]
        if not sites:
            raise AlloyError(f"{host.host.name}: no site of {element}")
        around = {site: tuple(here[i] for i in alloy.neighbours(host.end_member_sites[site])) for site in sites}
        kinds = _kinds_of_site(alloy, element)
        groups: dict[str, list[int]] = {}
        for site in sites:
            words = environment_in_words(supercell[i].specie.symbol for i in around[site])
            number, _ = kinds[alloy.site_classes[host.end_member_sites[site]]]
            groups.setdefault(f"{words}, site {number}" if len(kinds) > 1 else words, []).append(site)
        for words, alike in groups.items():
            _, share = kinds[alloy.site_classes[host.end_member_sites[alike[0]]]]
            probability = share * _probability(host, [supercell[i].specie.symbol for i in around[alike[0]]])
            for number, group in enumerate(_refined(alike, host, settings, minima), start=1):
                shown = number if settings.grouped_by == "fingerprint" else 0
                neighbours = tuple(around[site] for site in group)
                found.append(Environment(element, words, shown, tuple(group), neighbours, probability))
    return tuple(sorted(found, key=lambda one: (elements.index(one.element), -one.probability, one.words, one.group)))


def environment_vacancies(
    host: AlloyHost,
    environments: Sequence[Environment],
    settings: EnvironmentSettings,
    vacancies: VacancySettings,
    *,
    seed: int,
) -> tuple[Vacancy, ...]:
    """Make the vacancies that are searched: representatives of each environment.

    Parameters
    ----------
    host
        A supercell of the alloy.
    environments
        Its environments.
    settings
        Which are searched, and how many sites of each.
    vacancies
        Charge state.
    seed
        Of the draw of representatives.

    Returns
    -------
    tuple of Vacancy
        Named e.g. ``v_Cd_3Te1Se``, the second representative ``v_Cd_3Te1Se.2``.
    """
    made = []
    for environment in environments:
        wanted = None if settings.only is None else {normalised(words) for words in settings.only}
        if wanted is not None and environment.words.split(",")[0] not in wanted:
            continue
        for number, chosen in enumerate(_drawn(host, environment, settings.representatives, seed=seed), start=1):
            made.append(
                make_vacancy(
                    host.host,
                    environment.sites[chosen],
                    name=f"v_{environment.element}_{environment.label}{f'.{number}' if number > 1 else ''}",
                    charge=vacancies.charge,
                    neighbours=environment.neighbours[chosen],
                    multiplicity=len(environment.sites),
                )
            )
    return tuple(made)


def check_environments(name: str, environments: Sequence[Sequence[Environment]], settings: EnvironmentSettings) -> None:
    """Refuse supercells that lack an environment that was asked for.

    Parameters
    ----------
    name
        Of the composition.
    environments
        Of each of its supercells.
    settings
        Environments asked for.

    Raises
    ------
    AlloyError
        Naming the composition, the environment, and those that there are.
    """
    there = {one.words.split(",")[0] for found in environments for one in found}
    missing = [words for words in settings.only or () if normalised(words) not in there]
    if missing:
        raise AlloyError(
            f"{name}: none of {len(environments)} supercells has a site with the environment {missing[0]!r}, only "
            f"{', '.join(sorted(there))}; take a larger supercell, more realisations or another composition"
        )


def normalised(words: str) -> str:
    """Write an environment as this module does, whatever the order and spaces: ``1Se+3 Te`` and ``3Te1Se`` are ``3 Te + 1 Se``.

    Parameters
    ----------
    words
        Numbers and symbols of elements, joined by ``+`` or not.

    Returns
    -------
    str
        The words.

    Raises
    ------
    AlloyError
        If it is not of that form.
    """
    symbols: list[str] = []
    for number, symbol in PART.findall(words):
        symbols += [symbol] * int(number)
    if not symbols or PART.sub("", words).strip(" +"):
        raise AlloyError(f"environment {words!r}: write numbers and symbols, such as '3 Te + 1 Se'")
    return environment_in_words(symbols)


def _kinds_of_site(alloy: Alloy, element: str) -> dict[int, tuple[int, float]]:
    """Return the number, from 1, of each kind of lattice site of an element, and its share of the sites."""
    lattice = alloy.cells[0]
    of_element = [i for i, site in enumerate(lattice) if site.specie.symbol == element]
    sites = alloy.sites if element in alloy.species else of_element
    counts = Counter(alloy.site_classes[i] for i in sites)
    return {one: (number, counts[one] / len(sites)) for number, one in enumerate(sorted(counts), start=1)}


def _probability(host: AlloyHost, neighbours: Sequence[str]) -> float:
    shares = dict(zip(host.composition.species, host.composition.fractions, strict=True))
    counts = Counter(symbol for symbol in neighbours if symbol in shares)
    ways = math.factorial(counts.total()) // math.prod(math.factorial(count) for count in counts.values())
    return float(ways * math.prod(shares[symbol] ** count for symbol, count in counts.items()))


def _refined(
    sites: Sequence[int], host: AlloyHost, settings: EnvironmentSettings, minima: MinimaSettings
) -> list[list[int]]:
    """Tell sites with the same neighbours apart by their fingerprints, if asked; larger groups first."""
    if settings.grouped_by == "first shell":
        return [list(sites)]
    supercell = host.host.supercell
    species = sorted({site.specie.symbol for site in supercell})
    vectors = [site_fingerprint(supercell, supercell.frac_coords[site], minima, species=species) for site in sites]
    close = np.array([[cosine_distance(a, b) < minima.distance_threshold for b in vectors] for a in vectors])
    count, membership = connected_components(close, directed=False)
    groups = [[site for site, of in zip(sites, membership, strict=True) if of == group] for group in range(count)]
    return sorted(groups, key=lambda group: (-len(group), group))


def _drawn(host: AlloyHost, environment: Environment, count: int, *, seed: int) -> list[int]:
    text = f"{seed}/{host.host.name}/{environment.element}/{environment.label}"
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
    order = random.permutation(len(environment.sites)).tolist()
    return [int(position) for position in order[:count]]
