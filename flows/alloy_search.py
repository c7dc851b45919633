"""The search of an alloy in the order of the paper (doi:10.1038/s41524-024-01303-9), whoever does the relaxing.

End members, supercells of each composition, the environments in them; then the search of a host, with the finer sampling set,
and with the minima of each environment offered to the others. Like ``search``, plain functions over callables.
"""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defect_surrogate.alloys import (
    Alloy,
    AlloyHost,
    Composition,
    Environment,
    Source,
    SweepSettings,
    alloy_host,
    compositions_of,
    environment_vacancies,
    find_environments,
    make_alloy,
    read_end_members,
    transferred_starts,
)
from defect_surrogate.alloys.environments import check_environments
from defect_surrogate.alloys.fine_sampling import FineSampling, fine_sampling_set, without_duplicates
from defect_surrogate.dataset.frames import BULK, HOST
from defect_surrogate.distortions import SamplingSet, sampling_set
from defect_surrogate.errors import AlloyError
from defect_surrogate.hosts import Host
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.sampling_cache import cached_sampling_set
from defect_surrogate.surrogates import (
    Potential,
    cell_method,
    check_coverage,
    check_made_for,
    load_potential,
    surrogate_method,
)
from defect_surrogate.vacancies import Vacancy
from defect_surrogate.vasp import check_cell, check_executable, reference_method
from flows.hosts import Relax, RelaxedHost, Work, relax_host
from flows.search import HostSearch, VacancySearch, search_with_reference, search_with_surrogate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompositionSearch:
    """What was searched of one composition, and what came of it.

    Attributes
    ----------
    alloy
        The end members, with relaxed cells if there are any.
    composition
        The composition.
    end_members
        Relaxations of the end members.
    supercells
        Its realisations; none while the relaxation of an end member is missing.
    environments
        Those of each realisation, searched or not.
    hosts
        What was searched of each realisation.
    """

    alloy: Alloy
    composition: Composition
    end_members: tuple[RelaxedHost, ...]
    supercells: tuple[AlloyHost, ...]
    environments: tuple[tuple[Environment, ...], ...]
    hosts: tuple[HostSearch, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units, those of the end members first."""
        own = tuple(one.unit for one in self.end_members if one.unit is not None)
        return own + tuple(unit for host in self.hosts for unit in host.units)


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
    supercells = tuple(_supercells(alloy, one, settings) for one in compositions)
    environments = tuple(
        tuple(_environments(alloy, host, settings) for host in realisations) for realisations in supercells
    )
    for composition, found in zip(compositions, environments, strict=True):
        check_environments(composition.name, found, settings.environments)
    if not settings.surrogate_only:
        check_executable(settings.reference)
        level = _checked_reference(hosts, settings)
        for vacancy in _vacancies(supercells[0][0], environments[0][0], settings):
            reference_method(vacancy.ideal_structure, settings.reference, cell="defect", charge=vacancy.charge)
        if not settings.surrogate.other_level_of_theory:
            check_made_for(potential, level, host=alloy.name)
    return SweepPlan(alloy, compositions, supercells, environments, potential)


def search_alloy(
    composition: Composition,
    plan: SweepPlan,
    settings: SweepSettings,
    *,
    relax_surrogate: Relax,
    relax_reference: Relax,
    cache: Path | None = None,
) -> CompositionSearch:
    """Search the vacancies of all realisations of a composition.

    Parameters
    ----------
    composition
        One of the plan's.
    plan
        From ``plan_sweep``.
    settings
        Of the sweep.
    relax_surrogate, relax_reference
        Relax units at either level.
    cache
        Folder that keeps the starts; made anew each time when None.

    Returns
    -------
    CompositionSearch
        All units and the results they have.
    """
    end_members = relax_end_members(plan, settings, relax_reference)
    if not all(one.usable for one in end_members):
        return CompositionSearch(plan.alloy, composition, end_members, (), (), ())
    alloy = make_alloy([one.host for one in end_members], settings.alloy.sublattice)
    hosts = _supercells(alloy, composition, settings)
    relaxed = _relaxed_cells(hosts, plan.potential, settings, relax_surrogate)
    hosts = tuple(
        dataclasses.replace(one, host=cell.host) for one, cell in zip(hosts, relaxed, strict=True) if cell.usable
    )
    environments = tuple(_environments(alloy, host, settings) for host in hosts)
    vacancies = [_vacancies(host, found, settings) for host, found in zip(hosts, environments, strict=True)]
    for host, some in zip(hosts, vacancies, strict=True):
        logger.info("%s: vacancies: %s", host.host.name, ", ".join(f"{v.label} ({v.multiplicity} sites)" for v in some))
    starts = [
        _starts(vacancy, host.host, settings, cache)
        for host, some in zip(hosts, vacancies, strict=True)
        for vacancy in some
    ]
    method = surrogate_method(plan.potential, settings.surrogate)
    found = search_with_surrogate(starts, settings, method, relax_surrogate)
    if settings.transfer.minima:
        extended = [one for host in hosts for one in _with_transferred(found, alloy, host, settings)]
        found = search_with_surrogate(extended, settings, method, relax_surrogate)
    if not settings.surrogate_only:
        found = search_with_reference(found, settings, relax_reference)
    searches = {host.host.name: [one for one in found if one.vacancy.host == host.host.name] for host in hosts}
    return CompositionSearch(
        alloy=alloy,
        composition=composition,
        end_members=end_members,
        supercells=hosts,
        environments=environments,
        hosts=tuple(
            HostSearch(cell.host, cell.unit, cell.relaxation, tuple(searches.get(cell.host.name, ())))
            for cell in relaxed
        ),
    )


def relax_end_members(plan: SweepPlan, settings: SweepSettings, relax_reference: Relax) -> tuple[RelaxedHost, ...]:
    """Relax the end members at the reference level, unless the settings say otherwise.

    Parameters
    ----------
    plan
        With the end members as read.
    settings
        Of the sweep.
    relax_reference
        Relaxes units.

    Returns
    -------
    tuple of RelaxedHost
        In the order of the end members.
    """
    return tuple(relax_host(host, settings, relax_reference) for host in plan.alloy.hosts)


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
    for host in hosts:
        check_cell(host.supercell, settings.reference)
    return reference_method(hosts[0].supercell, settings.reference, cell="defect").level_of_theory


def _supercells(alloy: Alloy, composition: Composition, settings: SweepSettings) -> tuple[AlloyHost, ...]:
    """Make the realisations of a composition; a pure one has one."""
    count = settings.alloy.realisations if max(composition.fractions) < 1 else 1
    return tuple(alloy_host(alloy, composition, number, settings.alloy) for number in range(1, count + 1))


def _environments(alloy: Alloy, host: AlloyHost, settings: SweepSettings) -> tuple[Environment, ...]:
    elements = settings.vacancies.elements
    chosen = host.host.cations if elements is None else [one for one in elements if _occurs(one, alloy, host)]
    return find_environments(alloy, host, chosen, settings.environments, settings.minima)


def _occurs(element: str, alloy: Alloy, host: AlloyHost) -> bool:
    """Whether a supercell has an element of the alloy; one that mixes can be absent at an end of the range."""
    if element not in alloy.oxidation_states:
        raise AlloyError(f"{alloy.name}: no site of element {element}")
    return element in host.host.oxidation_states


def _vacancies(host: AlloyHost, environments: Sequence[Environment], settings: SweepSettings) -> tuple[Vacancy, ...]:
    return environment_vacancies(
        host, environments, settings.environments, settings.vacancies, seed=settings.alloy.seed
    )


def _relaxed_cells(
    hosts: Sequence[AlloyHost], potential: Potential, settings: SweepSettings, relax_surrogate: Relax
) -> list[RelaxedHost]:
    if settings.alloy.lattice == "Vegard":
        return [RelaxedHost(one.host, None, None) for one in hosts]
    method = cell_method(potential)
    units = [Unit(one.host.name, BULK, HOST, "surrogate", one.host.supercell, method) for one in hosts]
    found = relax_surrogate([Work(unit) for unit in units])
    return [_with_cell(one.host, unit, found.get(unit.name)) for one, unit in zip(hosts, units, strict=True)]


def _with_cell(host: Host, unit: Unit, relaxation: Relaxation | None) -> RelaxedHost:
    if relaxation is not None and relaxation.rankable:
        host = dataclasses.replace(host, unit_cell=relaxation.structure, supercell=relaxation.structure)
    return RelaxedHost(host, unit, relaxation)


def _starts(
    vacancy: Vacancy, host: Host, settings: SweepSettings, cache: Path | None
) -> tuple[SamplingSet, SamplingSet]:
    """Make the finer set for the surrogate, and the standard set for a full reference search."""
    fine = cached_sampling_set(
        vacancy,
        host,
        FineSampling(distortions=settings.distortions, neighbours=settings.neighbours),
        make=fine_sampling_set,
        cache=None if cache is None else cache / "fine",
    )
    if not settings.full_reference:  # of the standard set only what the finer has, too: Unperturbed
        return fine, SamplingSet(fine.structures[:1], ())
    return fine, cached_sampling_set(vacancy, host, settings.distortions, make=sampling_set, cache=cache)


def _with_transferred(
    searches: Sequence[VacancySearch], alloy: Alloy, host: AlloyHost, settings: SweepSettings
) -> list[tuple[SamplingSet, SamplingSet]]:
    """Add the minima of each environment of a supercell to the starts of the others, as far as they are new there."""
    own = [one for one in searches if one.vacancy.host == host.host.name]
    sources = [Source(one.vacancy, one.surrogate_minima[: settings.transfer.minima]) for one in own]
    extended = []
    for one in own:
        others = [
            source
            for source in sources
            if source.vacancy.label != one.vacancy.label and source.vacancy.element == one.vacancy.element
        ]
        new, duplicates = without_duplicates(
            transferred_starts(one.vacancy, others, alloy, host, reach=settings.transfer.reach),
            tolerance=settings.neighbours.duplicate_tolerance,
            among=one.sampling.structures,
        )
        sampling = dataclasses.replace(
            one.sampling,
            structures=one.sampling.structures + new,
            duplicates=one.sampling.duplicates + duplicates,
        )
        extended.append((sampling, one.full))
    return extended
