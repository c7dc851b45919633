"""The search of one host in the order of the paper's Methods (doi:10.1038/s41524-024-01303-9), whoever does the relaxing.

Distort, relax with the surrogate, keep the distinct minima, relax these at the reference level. ``search_host`` hands in
relaxations by Dask workers; ``report``, ``status`` and ``--dry-run`` hand in a look-up in the archive, and see what is there.
"""

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pymatgen.core import Structure

from defect_surrogate.budget import followed
from defect_surrogate.distortions import FROM_SURROGATE, UNPERTURBED, SamplingSet, sampling_set
from defect_surrogate.hosts import read_host
from defect_surrogate.minima import find_minima
from defect_surrogate.reconstruction import motif_kind, new_anion_bonds
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.sampling_cache import cached_sampling_set
from defect_surrogate.settings import SearchSettings
from defect_surrogate.shakenbreak_folders import write_sampling_structures
from defect_surrogate.surrogates import check_coverage, check_made_for, load_potential, surrogate_method
from defect_surrogate.vacancies import Vacancy, find_vacancies
from defect_surrogate.vasp import reference_method
from flows.hosts import check_reference, relax_host
from flows.run_folder import RunFolder
from flows.searched import HostSearch, Starts, VacancySearch
from flows.work import Relax, Work, collected, looked_up

logger = logging.getLogger(__name__)


def search(
    source: str,
    settings: SearchSettings,
    *,
    relax_surrogate: Relax,
    relax_reference: Relax,
    structures: Path | None = None,
    cache: Path | None = None,
) -> HostSearch:
    """Search the vacancies of a host.

    Parameters
    ----------
    source
        Path of the host's file, or a Materials Project id.
    settings
        Of the search.
    relax_surrogate, relax_reference
        Relax units at either level.
    structures
        Folder for the starts in ShakeNBreak's layout; not written when None.
    cache
        Folder that keeps the starts, which take ShakeNBreak minutes; made anew each time when None.

    Returns
    -------
    HostSearch
        All units and the results they have. Without a result for the host itself it ends there.

    Raises
    ------
    InputError
        If the host, the force field or the reference level cannot be used; before anything is relaxed.
    """
    host = read_host(source, settings.host)
    potential = load_potential(settings.surrogate.potential)
    check_coverage(potential, host.oxidation_states, host=host.name)
    check_reference(host, settings)
    if not settings.surrogate.other_level_of_theory:
        level = reference_method(host.supercell, settings.reference, cell="defect").level_of_theory
        check_made_for(potential, level, host=host.name)
    relaxed = relax_host(host, settings, relax_reference)
    if not relaxed.usable:
        return HostSearch(host, relaxed.unit, relaxed.relaxation, ())
    host = relaxed.host
    vacancies = find_vacancies(host, settings.vacancies)
    logger.info("%s: vacancies: %s", host.name, ", ".join(f"{one.label} ({one.environment})" for one in vacancies))
    samplings = [
        cached_sampling_set(vacancy, host, settings.distortions, make=sampling_set, cache=cache)
        for vacancy in vacancies
    ]
    if structures is not None:
        for sampling in samplings:
            write_sampling_structures(sampling, structures / host.name / "surrogate")
    method = surrogate_method(potential, settings.surrogate)
    searches = search_with_surrogate([Starts(one, one) for one in samplings], settings, method, relax_surrogate)
    finished = search_with_reference(searches, settings, relax_reference, host.oxidation_states)
    order = [vacancy.label for vacancy in vacancies]
    finished.sort(key=lambda one: order.index(one.vacancy.label))
    return HostSearch(host, relaxed.unit, relaxed.relaxation, tuple(finished))


def search_with_surrogate(
    starts: Sequence[Starts], settings: SearchSettings, method: str, relax_surrogate: Relax
) -> Iterator[VacancySearch]:
    """Relax the starts of vacancies with the surrogate, and find its minima.

    Parameters
    ----------
    starts
        Of each vacancy.
    settings
        Of the search.
    method
        Digest of force field and convergence.
    relax_surrogate
        Relaxes units.

    Yields
    ------
    VacancySearch
        One for each vacancy, as soon as all its relaxations have ended.
    """
    works = [surrogate_work(one.surrogate, method) for one in starts]
    vacancy_of = {work.unit.name: index for index, some in enumerate(works) for work in some}
    left = [len(some) for some in works]
    found: dict[str, Relaxation] = {}
    for name, relaxation in relax_surrogate([work for some in works for work in some]):
        index = vacancy_of[name]
        left[index] -= 1
        if relaxation is not None:
            found[name] = relaxation
        if left[index] == 0:
            yield _minima(starts[index], works[index], found, settings)


def search_with_reference(
    searches: Iterable[VacancySearch],
    settings: SearchSettings,
    relax_reference: Relax,
    oxidation_states: Mapping[str, float],
) -> list[VacancySearch]:
    """Relax the surrogate's minima of vacancies, and what else is asked for, at the reference level.

    Each vacancy begins as it comes: those that the surrogate is still at keep no other waiting.

    Parameters
    ----------
    searches
        Of ``search_with_surrogate``.
    settings
        Of the search.
    relax_reference
        Relaxes units.
    oxidation_states
        Of the elements, units of e, by which anions are told.

    Returns
    -------
    list of VacancySearch
        The same with the results at the reference level.
    """
    begun = []
    for one in searches:
        works = reference_work(one, settings, oxidation_states)
        begun.append((one, works, relax_reference(works)))
    return [_finished(one, works, collected(results)) for one, works, results in begun]


def surrogate_work(sampling: SamplingSet, method: str) -> list[Work]:
    """Say what the surrogate relaxes: every sampling structure.

    Parameters
    ----------
    sampling
        Starts of one vacancy.
    method
        Digest of force field and convergence.

    Returns
    -------
    list of Work
        In the order of the starts.
    """
    return [
        Work(Unit(start.vacancy.host, start.vacancy.label, start.label, "surrogate", start.structure, method))
        for start in sampling.structures
    ]


def reference_work(
    search: VacancySearch, settings: SearchSettings, oxidation_states: Mapping[str, float]
) -> list[Work]:
    """Say what the reference relaxes: ``Unperturbed``, the surrogate's minima, and with ``full_reference`` every start.

    Parameters
    ----------
    search
        A vacancy with its surrogate minima.
    settings
        Of the search.
    oxidation_states
        Of the elements, units of e, by which anions are told.

    Returns
    -------
    list of Work
        ``Unperturbed``, the minima followed, ascending in surrogate energy, those of other environments, then the other starts.
    """
    vacancy, minima = search.vacancy, search.surrogate_minima
    kinds = [kind_of(one.relaxation.structure, vacancy, oxidation_states) for one in minima]
    starts = {start.label: start.structure for start in search.full.structures}
    wanted = {UNPERTURBED: starts[UNPERTURBED]}
    wanted |= {m.label + FROM_SURROGATE: m.relaxation.structure for m in followed(minima, kinds, settings.minima)}
    wanted |= {start.label: start.structure for start in search.transferred}
    if settings.full_reference:
        wanted |= starts
    method = reference_method(vacancy.ideal_structure, settings.reference, cell="defect", charge=vacancy.charge)
    return [
        Work(Unit(vacancy.host, vacancy.label, label, "reference", structure, method.digest), method)
        for label, structure in wanted.items()
    ]


def kind_of(structure: Structure, vacancy: Vacancy, oxidation_states: Mapping[str, float]) -> str:
    """Name the motif of a structure of a vacancy, without bond lengths.

    Parameters
    ----------
    structure
        Of the vacancy, relaxed or not.
    vacancy
        The vacancy.
    oxidation_states
        Of the elements, units of e, by which anions are told.

    Returns
    -------
    str
        E.g. ``Te trimer (chain)``.
    """
    return motif_kind(new_anion_bonds(structure, ideal=vacancy.ideal_structure, oxidation_states=oxidation_states))


def _minima(
    starts: Starts, works: Sequence[Work], found: dict[str, Relaxation], settings: SearchSettings
) -> VacancySearch:
    units = tuple(work.unit for work in works)
    vacancy = starts.surrogate.structures[0].vacancy
    results = {unit.name: found[unit.name] for unit in units if unit.name in found}
    minima = find_minima(
        {unit.label: found[unit.name] for unit in units if unit.name in found},
        vacancy.fractional_position,
        settings.minima,
        ideal=vacancy.ideal_structure,
    )
    standard = len(starts.full.structures) if starts.standard is None else starts.standard
    return VacancySearch(starts.surrogate, starts.full, standard, units, (), minima, results)


def _finished(search: VacancySearch, works: Sequence[Work], found: dict[str, Relaxation]) -> VacancySearch:
    units = tuple(work.unit for work in works)
    results = {unit.name: found[unit.name] for unit in units if unit.name in found}
    return dataclasses.replace(search, reference=units, relaxations=search.relaxations | results)


def archived_search(run: RunFolder) -> HostSearch:
    """Make a search from what the archive of its run holds; nothing is computed.

    Parameters
    ----------
    run
        Its folder.

    Returns
    -------
    HostSearch
        With the results that the archive of the run holds.
    """
    look_up = looked_up(run.archive)
    return search(run.source, run.settings, relax_surrogate=look_up, relax_reference=look_up, cache=run.sampling)
