"""What every search of a host begins with: it is held against the reference level, and relaxed there."""

import logging
from dataclasses import dataclass

from defect_surrogate.dataset.frames import BULK, HOST
from defect_surrogate.hosts import Host, host_with_relaxed_cell
from defect_surrogate.reconstruction import anion_bonds
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.settings import ReferenceSearchSettings
from defect_surrogate.vacancies import find_vacancies
from defect_surrogate.vasp import check_cell, check_executable, reference_method
from flows.work import Relax, Work, collected

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RelaxedHost:
    """A host ready for its vacancies.

    Attributes
    ----------
    host
        With its relaxed cell if there is one.
    unit
        Unit of its relaxation; None if its cell is used as given.
    relaxation
        Result of the unit, if it has one.
    """

    host: Host
    unit: Unit | None
    relaxation: Relaxation | None

    @property
    def usable(self) -> bool:
        """Whether vacancies can be made in its cell."""
        return self.unit is None or (self.relaxation is not None and self.relaxation.rankable)


def check_reference(host: Host, settings: ReferenceSearchSettings) -> None:
    """Refuse now what would be refused only after hours of relaxations.

    Parameters
    ----------
    host
        As read.
    settings
        Of the search.

    Raises
    ------
    InputError
        If the reference level cannot treat the host or one of its vacancies.
    """
    check_command(settings)
    check_cell(host.supercell, settings.reference)
    if settings.host.oxidation_states is None:
        bonds = anion_bonds(host.supercell, oxidation_states=host.oxidation_states)
        if bonds:
            logger.warning(
                "%s: has anion–anion bonds (%s–%s, %.2f Å), so the oxidation states %s may be wrong, and with them the "
                "number of missing electrons: set host.oxidation_states",
                *(host.name, *bonds[0].elements, bonds[0].length, host.oxidation_states),
            )
    for vacancy in find_vacancies(host, settings.vacancies):
        reference_method(vacancy.ideal_structure, settings.reference, cell="defect", charge=vacancy.charge)


def check_command(settings: ReferenceSearchSettings) -> None:
    """Refuse an executable that is not here, unless a module of a cluster's nodes may bring it.

    Parameters
    ----------
    settings
        Of the search.

    Raises
    ------
    ReferenceInputError
        If it is not found.
    """
    if settings.workers.cluster is None or settings.reference.is_stand_in:
        check_executable(settings.reference)


def relax_host(host: Host, settings: ReferenceSearchSettings, relax_reference: Relax) -> RelaxedHost:
    """Relax the host itself, unless the settings say otherwise.

    Parameters
    ----------
    host
        As read.
    settings
        Of the search.
    relax_reference
        Relaxes units at the reference level.

    Returns
    -------
    RelaxedHost
        With the relaxed cell, or with the cell as given if the settings say so.
    """
    if not settings.host.relax:
        return RelaxedHost(host, None, None)
    work = host_work(host, settings)
    relaxation = collected(relax_reference([work])).get(work.unit.name)
    if relaxation is not None and relaxation.rankable:
        host = host_with_relaxed_cell(host, relaxation.structure, settings=settings.host)
    return RelaxedHost(host, work.unit, relaxation)


def host_work(host: Host, settings: ReferenceSearchSettings) -> Work:
    """Say how the host itself is relaxed: its unit cell; with the stand-in, which samples Γ only, its supercell.

    Parameters
    ----------
    host
        As read.
    settings
        Of the search.

    Returns
    -------
    Work
        Label ``Host`` of the defect ``bulk``.
    """
    cell = host.supercell if settings.reference.is_stand_in else host.unit_cell
    method = reference_method(cell, settings.reference, cell="host")
    return Work(Unit(host.name, BULK, HOST, "reference", cell, method.digest), method)
