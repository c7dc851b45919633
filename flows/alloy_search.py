"""The search of an alloy in the order of the paper (doi:10.1038/s41524-024-01303-9), whoever does the relaxing.

End members, supercells of each composition, the environments in them; then the search of a host, with the finer sampling set,
and with the minima of each environment offered to the others. Like ``search``, plain functions over callables.
"""

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from defect_surrogate.alloys import (
    Alloy,
    AlloyHost,
    Composition,
    Environment,
    SweepSettings,
    make_alloy,
)
from defect_surrogate.alloys.fine_sampling import FineSampling, fine_sampling_set
from defect_surrogate.dataset.frames import BULK, HOST
from defect_surrogate.distortions import SamplingSet, sampling_set, sampling_size
from defect_surrogate.hosts import Host
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.sampling_cache import cached_sampling_set
from defect_surrogate.surrogates import Potential, cell_method, surrogate_method
from defect_surrogate.vacancies import Vacancy
from flows.alloy_transfer import with_reference_minima, with_transferred
from flows.hosts import RelaxedHost, relax_host
from flows.search import search_with_reference, search_with_surrogate
from flows.searched import HostSearch, Starts, VacancySearch
from flows.sweep_plan import SweepPlan, supercells_of, vacancies_of
from flows.work import Relax, Work, collected

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompositionSearch:
    """What was searched of one composition, and what came of it.

    Attributes
    ----------
    composition
        The composition.
    end_members
        Relaxations of the end members.
    cells
        Relaxations of its supercells; none while that of an end member is missing.
    supercells
        Those that are usable.
    environments
        Those of each realisation, searched or not.
    hosts
        What was searched of each realisation.
    """

    composition: Composition
    end_members: tuple[RelaxedHost, ...]
    cells: tuple[RelaxedHost, ...]
    supercells: tuple[AlloyHost, ...]
    environments: tuple[tuple[Environment, ...], ...]
    hosts: tuple[HostSearch, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units, those of the end members first."""
        own = tuple(one.unit for one in self.end_members if one.unit is not None)
        return own + tuple(unit for host in self.hosts for unit in host.units)


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
        return CompositionSearch(composition, end_members, (), (), (), ())
    alloy = make_alloy([one.host for one in end_members], settings.alloy.sublattice, like=plan.alloy)
    cells, usable = _usable_supercells(alloy, composition, plan, settings, relax_surrogate)
    hosts, environments = tuple(host for host, _ in usable), tuple(found for _, found in usable)
    starts = [one for host, found in usable for one in _starts_of(host, found, settings, cache)]
    method = surrogate_method(plan.potential, settings.surrogate)
    order = [(one.vacancy.host, one.vacancy.label) for one in (some.surrogate.structures[0] for some in starts)]
    searches = search_with_surrogate(starts, settings, method, relax_surrogate)
    if settings.transfer.minima:
        first = _ordered(searches, order)
        extended = [one for host in hosts for one in with_transferred(_of(host, first), alloy, host, settings)]
        searches = search_with_surrogate(extended, settings, method, relax_surrogate)
    if settings.surrogate_only:
        found = _ordered(searches, order)
    else:
        found = _ordered(search_with_reference(searches, settings, relax_reference, alloy.oxidation_states), order)
        if settings.transfer.reference_minima:
            found = [one for host in hosts for one in with_reference_minima(_of(host, found), alloy, host, settings)]
            found = search_with_reference(found, settings, relax_reference, alloy.oxidation_states)
    searched = tuple(_host_search(cell, found, settings) for cell in cells)
    return CompositionSearch(composition, end_members, cells, hosts, environments, searched)


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


def _usable_supercells(
    alloy: Alloy, composition: Composition, plan: SweepPlan, settings: SweepSettings, relax_surrogate: Relax
) -> tuple[tuple[RelaxedHost, ...], list[tuple[AlloyHost, tuple[Environment, ...]]]]:
    """Make the supercells of a composition, and return their cells, and those that are usable with their environments."""
    hosts = supercells_of(alloy, composition, settings)
    cells = _relaxed_cells(hosts, plan.potential, settings, relax_surrogate)
    planned = plan.environments[plan.compositions.index(composition)]  # the sites of the plan, whatever the lattice
    usable = [
        (dataclasses.replace(host, host=cell.host), found)
        for host, cell, found in zip(hosts, cells, planned, strict=True)
        if cell.usable
    ]
    return cells, usable


def _relaxed_cells(
    hosts: Sequence[AlloyHost], potential: Potential, settings: SweepSettings, relax_surrogate: Relax
) -> tuple[RelaxedHost, ...]:
    if settings.alloy.lattice == "Vegard":
        return tuple(RelaxedHost(one.host, None, None) for one in hosts)
    method = cell_method(potential)
    units = [Unit(one.host.name, BULK, HOST, "surrogate", one.host.supercell, method) for one in hosts]
    found = collected(relax_surrogate([Work(unit) for unit in units]))
    return tuple(_with_cell(one.host, unit, found.get(unit.name)) for one, unit in zip(hosts, units, strict=True))


def _with_cell(host: Host, unit: Unit, relaxation: Relaxation | None) -> RelaxedHost:
    if relaxation is not None and relaxation.rankable:
        host = dataclasses.replace(host, unit_cell=relaxation.structure, supercell=relaxation.structure)
    return RelaxedHost(host, unit, relaxation)


def _starts_of(
    host: AlloyHost, environments: Sequence[Environment], settings: SweepSettings, cache: Path | None
) -> list[Starts]:
    """Make the starts of the vacancies of a supercell."""
    vacancies = vacancies_of(host, environments, settings)
    logger.info(
        "%s: vacancies: %s", host.host.name, ", ".join(f"{v.label} ({v.multiplicity} sites)" for v in vacancies)
    )
    return [_starts(vacancy, host.host, settings, cache) for vacancy in vacancies]


def _starts(vacancy: Vacancy, host: Host, settings: SweepSettings, cache: Path | None) -> Starts:
    """Make the finer set for the surrogate, and the standard set for a full reference search."""
    fine = cached_sampling_set(
        vacancy,
        host,
        FineSampling(distortions=settings.distortions, neighbours=settings.neighbours),
        make=fine_sampling_set,
        cache=None if cache is None else cache / "fine",
    )
    if not settings.full_reference:  # of the standard set only what the finer has, too: Unperturbed
        return Starts(
            fine,
            SamplingSet(fine.structures[:1], ()),
            standard=sampling_size(vacancy.missing_electrons, settings.distortions),
        )
    return Starts(
        fine,
        cached_sampling_set(vacancy, host, settings.distortions, make=sampling_set, cache=cache),
    )


def _ordered(searches: Iterable[VacancySearch], order: Sequence[tuple[str, str]]) -> list[VacancySearch]:
    """Wait for searches, which come as they end, and put them in the order of their vacancies."""
    return sorted(searches, key=lambda one: order.index((one.vacancy.host, one.vacancy.label)))


def _of(host: AlloyHost, searches: Sequence[VacancySearch]) -> list[VacancySearch]:
    """Choose the searches of one supercell."""
    return [one for one in searches if one.vacancy.host == host.host.name]


def _host_search(cell: RelaxedHost, searches: Sequence[VacancySearch], settings: SweepSettings) -> HostSearch:
    own = tuple(one for one in searches if one.vacancy.host == cell.host.name)
    return HostSearch(cell.host, cell.unit, cell.relaxation, own, _cell_in_words(settings))


def _cell_in_words(settings: SweepSettings) -> str:
    """Say how the cell of a supercell was made."""
    end_members = (
        "the end members relaxed at the reference level" if settings.host.relax else "the end members as given"
    )
    last = ", and then relaxed with the surrogate" if settings.alloy.lattice == "surrogate" else ""
    return f"its cell averaged over {end_members}{last}"
