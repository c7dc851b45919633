"""The reference search of one host: every sampling structure relaxed at the reference level, and bulk cells evaluated.

What a surrogate learns from, and what it is measured against. Like ``search``, a plain function over a callable.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from defect_surrogate import isolated_atoms
from defect_surrogate.bulk_cells import BulkCell, bulk_cells
from defect_surrogate.dataset.frames import BULK
from defect_surrogate.distortions import SamplingSet, sampling_set
from defect_surrogate.hosts import Host, read_host
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.sampling_cache import cached_sampling_set
from defect_surrogate.settings import BuildSettings, ReferenceSettings
from defect_surrogate.vacancies import find_vacancies
from defect_surrogate.vasp import reference_method
from flows.hosts import check_reference, relax_host
from flows.work import Relax, Work, collected

logger = logging.getLogger(__name__)

SINGLE_POINT = {"NSW": 0, "IBRION": -1}
"""INCAR tags of a bulk cell: one evaluation with the settings of the defects, so that energies can be compared."""

SINGLE_ATOM = SINGLE_POINT | {"ISPIN": 2}
"""INCAR tags of an isolated atom, most of which have unpaired electrons."""


@dataclass(frozen=True)
class ReferenceSearch:
    """What was computed of one host, and what came of it.

    Attributes
    ----------
    host
        The host, with its relaxed cell if there is one.
    units
        Host, bulk cells and sampling structures; the host alone while its relaxation is missing.
    relaxations
        Results by name of the unit.
    """

    host: Host
    units: tuple[Unit, ...]
    relaxations: dict[str, Relaxation]


def reference_search(
    source: str, settings: BuildSettings, *, relax_reference: Relax, cache: Path | None = None
) -> ReferenceSearch:
    """Relax all sampling structures of a host's vacancies at the reference level, and evaluate its bulk cells.

    Parameters
    ----------
    source
        Path of the host's file, or a Materials Project id.
    settings
        Of the search.
    relax_reference
        Relaxes units.
    cache
        Folder that keeps the sampling structures, which take ShakeNBreak minutes; made anew each time when None.

    Returns
    -------
    ReferenceSearch
        All units and the results they have. Without a result for the host itself it ends there.

    Raises
    ------
    InputError
        If the host cannot be used, before anything is relaxed.
    """
    host = read_host(source, settings.host)
    check_reference(host, settings)
    relaxed = relax_host(host, settings, relax_reference)
    own = () if relaxed.unit is None else (relaxed.unit,)
    found = {} if relaxed.unit is None or relaxed.relaxation is None else {relaxed.unit.name: relaxed.relaxation}
    if not relaxed.usable:
        return ReferenceSearch(host, own, found)
    works = bulk_work(relaxed.host, bulk_cells(relaxed.host, settings.bulk), settings.reference)
    if settings.defects:
        vacancies = find_vacancies(relaxed.host, settings.vacancies)
        logger.info("%s: vacancies: %s", host.name, ", ".join(f"{one.label} ({one.environment})" for one in vacancies))
        for vacancy in vacancies:
            sampling = cached_sampling_set(vacancy, relaxed.host, settings.distortions, make=sampling_set, cache=cache)
            works += sampling_work(sampling, settings.reference)
    found |= collected(relax_reference(works))
    return ReferenceSearch(relaxed.host, own + tuple(work.unit for work in works), found)


def evaluate_atoms(elements: Iterable[str], settings: ReferenceSettings, *, relax_reference: Relax) -> dict[str, float]:
    """Evaluate isolated atoms at the reference level.

    Parameters
    ----------
    elements
        Their symbols.
    settings
        Of the reference level.
    relax_reference
        Relaxes units.

    Returns
    -------
    dict of str to float
        Energy in eV, by symbol; without atoms that have no result.
    """
    works = {element: atom_work(element, settings) for element in sorted(elements)}
    found = collected(relax_reference(list(works.values())))
    return {element: found[work.unit.name].energy for element, work in works.items() if work.unit.name in found}


def bulk_work(host: Host, cells: Sequence[BulkCell], settings: ReferenceSettings) -> list[Work]:
    """Say how bulk cells are evaluated.

    Parameters
    ----------
    host
        Their host.
    cells
        Strained and rattled.
    settings
        Of the reference level.

    Returns
    -------
    list of Work
        Single points with the INCAR of the defects.
    """
    method = reference_method(host.supercell, _with_tags(settings, SINGLE_POINT), cell="defect")
    return [
        Work(Unit(host.name, BULK, cell.label, "reference", cell.structure, method.digest), method) for cell in cells
    ]


def atom_work(element: str, settings: ReferenceSettings) -> Work:
    """Say how an isolated atom is evaluated.

    Parameters
    ----------
    element
        Its symbol.
    settings
        Of the reference level.

    Returns
    -------
    Work
        A spin-polarised single point with the INCAR of the defects, e.g. ``atoms/Te/Isolated/reference``.
    """
    atom = isolated_atoms.isolated_atom(element)
    method = reference_method(atom, _with_tags(settings, SINGLE_ATOM), cell="defect")
    return Work(Unit(isolated_atoms.HOST, element, isolated_atoms.LABEL, "reference", atom, method.digest), method)


def sampling_work(sampling: SamplingSet, settings: ReferenceSettings) -> list[Work]:
    """Say how the sampling structures of a vacancy are relaxed at the reference level.

    Parameters
    ----------
    sampling
        Starts of one vacancy.
    settings
        Of the reference level.

    Returns
    -------
    list of Work
        In the order of the starts.
    """
    vacancy = sampling.structures[0].vacancy
    method = reference_method(vacancy.ideal_structure, settings, cell="defect", charge=vacancy.charge)
    return [
        Work(Unit(vacancy.host, vacancy.label, start.label, "reference", start.structure, method.digest), method)
        for start in sampling.structures
    ]


def _with_tags(settings: ReferenceSettings, tags: dict[str, int]) -> ReferenceSettings:
    return settings.model_copy(update={"defect_incar": settings.defect_incar | tags})
