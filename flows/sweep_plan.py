"""What a sweep will search, made before anything is queued: what cannot be searched is refused here."""

from collections.abc import Sequence
from dataclasses import dataclass

from defect_surrogate.alloys import (
    Alloy,
    AlloyHost,
    Composition,
    Environment,
    SweepSettings,
    alloy_host,
    compositions_of,
    environment_vacancies,
    find_environments,
    make_alloy,
    read_end_members,
)
from defect_surrogate.alloys.environments import check_environments
from defect_surrogate.errors import AlloyError
from defect_surrogate.hosts import Host
from defect_surrogate.surrogates import Potential, check_coverage, check_made_for, load_potential
from defect_surrogate.vacancies import Vacancy
from defect_surrogate.vasp import check_cell, reference_method
from flows.hosts import check_command, host_work


@dataclass(frozen=True)
class SweepPlan:
    """An alloy that was held against the settings: nothing in it will be refused later.

    Attributes
    ----------
    alloy
        The end members as read.
    compositions
        Those that are searched.
    supercells
        Realisations of each composition, in cells as read.
    environments
        Environments of each realisation of each composition.
    potential
        The force field.
    """

    alloy: Alloy
    compositions: tuple[Composition, ...]
    supercells: tuple[tuple[AlloyHost, ...], ...]
    environments: tuple[tuple[tuple[Environment, ...], ...], ...]
    potential: Potential


def plan_sweep(settings: SweepSettings, *, only: str | None = None) -> SweepPlan:
    """Read the end members, and refuse now what would be refused only after hours.

    Parameters
    ----------
    settings
        Of the sweep.
    only
        Name or fraction x of the one composition that is planned; all when None.

    Returns
    -------
    SweepPlan
        All supercells and environments.

    Raises
    ------
    InputError
        If end members, compositions, environments, force field or reference level cannot be used.
    """
    hosts = read_end_members(settings.alloy, settings.host)
    alloy = make_alloy(hosts, settings.alloy.sublattice)
    compositions = compositions_of(alloy, settings.alloy)
    if only is not None:
        compositions = (_chosen(compositions, only),)
    potential = load_potential(settings.surrogate.potential)
    for host in hosts:
        check_coverage(potential, host.oxidation_states, host=host.name)
    supercells = tuple(supercells_of(alloy, one, settings) for one in compositions)
    environments = tuple(
        tuple(environments_of(alloy, host, settings) for host in realisations) for realisations in supercells
    )
    for composition, found in zip(compositions, environments, strict=True):
        check_environments(composition.name, found, settings.environments)
    if not settings.surrogate_only:
        level = _checked_reference(hosts, settings)
        for realisations, found in zip(supercells, environments, strict=True):
            for vacancy in vacancies_of(realisations[0], found[0], settings):
                reference_method(vacancy.ideal_structure, settings.reference, cell="defect", charge=vacancy.charge)
        if not settings.surrogate.other_level_of_theory:
            check_made_for(potential, level, host=alloy.name)
    return SweepPlan(alloy, compositions, supercells, environments, potential)


def supercells_of(alloy: Alloy, composition: Composition, settings: SweepSettings) -> tuple[AlloyHost, ...]:
    """Make the realisations of a composition; a pure one has one.

    Parameters
    ----------
    alloy
        The end members.
    composition
        The composition.
    settings
        Of the sweep.

    Returns
    -------
    tuple of AlloyHost
        By their numbers.
    """
    count = settings.alloy.realisations if max(composition.fractions) < 1 else 1
    return tuple(alloy_host(alloy, composition, number, settings.alloy) for number in range(1, count + 1))


def environments_of(alloy: Alloy, host: AlloyHost, settings: SweepSettings) -> tuple[Environment, ...]:
    """Find the environments of a supercell whose vacancies the settings ask for.

    Parameters
    ----------
    alloy
        The end members.
    host
        The supercell.
    settings
        Of the sweep.

    Returns
    -------
    tuple of Environment
        Of the elements asked for, or of all cations.

    Raises
    ------
    AlloyError
        If the alloy has no site of an element.
    """
    elements = settings.vacancies.elements
    chosen = host.host.cations if elements is None else [one for one in elements if _occurs(one, alloy, host)]
    return find_environments(alloy, host, chosen, settings.environments, settings.minima)


def vacancies_of(host: AlloyHost, environments: Sequence[Environment], settings: SweepSettings) -> tuple[Vacancy, ...]:
    """Make the vacancies of a supercell that are searched.

    Parameters
    ----------
    host
        The supercell.
    environments
        Its environments.
    settings
        Of the sweep.

    Returns
    -------
    tuple of Vacancy
        Representatives of the environments.
    """
    return environment_vacancies(
        host, environments, settings.environments, settings.vacancies, seed=settings.alloy.seed
    )


def _occurs(element: str, alloy: Alloy, host: AlloyHost) -> bool:
    """Whether a supercell has an element of the alloy; one that mixes can be absent at an end of the range."""
    if element not in alloy.oxidation_states:
        raise AlloyError(f"{alloy.name}: no site of element {element}")
    return element in host.host.oxidation_states


def _chosen(compositions: Sequence[Composition], wanted: str) -> Composition:
    """Find a composition by its name, or by the fraction of the second species that was asked for."""
    for one in compositions:
        asked = one.requested[1] if one.x is not None else None
        if wanted == one.name or (asked is not None and wanted in (f"{asked:g}", f"x={asked:g}")):
            return one
    raise AlloyError(
        f"{wanted}: no composition of the settings, which have {', '.join(one.name for one in compositions)}"
    )


def _checked_reference(hosts: Sequence[Host], settings: SweepSettings) -> str:
    """Hold the end members against the reference level, and return it in words."""
    check_command(settings)
    for host in hosts:
        check_cell(host.supercell, settings.reference)
        host_work(host, settings)
    return reference_method(hosts[0].supercell, settings.reference, cell="defect").level_of_theory
