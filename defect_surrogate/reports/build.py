"""From relaxations to the report of one vacancy.

Surrogate + reference is what a search by the paper (doi:10.1038/s41524-024-01303-9) runs at the reference level: one
relaxation from each surrogate minimum, and ``Unperturbed``; in an alloy from minima of other environments, too. The full
reference search relaxes every sampling structure. The two are clustered apart, so that neither borrows the other's findings;
without a surrogate there is only the second.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence

from pymatgen.core import Structure

from defect_surrogate.defect_site import PointDefect
from defect_surrogate.distortions import FROM_SURROGATE, TRANSFERRED, UNPERTURBED, is_led
from defect_surrogate.metrics import SearchTimes, dft_saved, is_hit, is_new_ground_state, speed_up
from defect_surrogate.minima import find_minima, sensitivity
from defect_surrogate.reconstruction import energy_lowering, motif, new_anion_bonds
from defect_surrogate.relaxation import Level, Relaxation
from defect_surrogate.reports.labels import label_order
from defect_surrogate.reports.methods import converged, finite, methods_of, relaxation_report
from defect_surrogate.reports.schema import (
    BondReport,
    ComparisonReport,
    FailureReport,
    MinimumReport,
    VacancyReport,
)
from defect_surrogate.settings import MinimaSettings
from defect_surrogate.vacancies import Vacancy

SENSITIVITY_FACTORS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
"""What tells minima apart is our choice; the report shows what these multiples of threshold or tolerance would have given."""

_UNSAFE = re.compile(r"[^\w.+%=,() -]|^[. -]|[. ]$")


def vacancy_report(
    vacancy: Vacancy | PointDefect,
    *,
    sampling_structures: int,
    surrogate_structures: int | None = None,
    dropped: Sequence[str] = (),
    duplicates: Sequence[str] = (),
    surrogate: Mapping[str, Relaxation] | None,
    reference: Mapping[str, Relaxation],
    planned: Sequence[str] | None = None,
    full_reference: bool = False,
    surrogate_only: bool = False,
    failures: Sequence[FailureReport] = (),
    unfinished: int = 0,
    keys: Mapping[tuple[Level, str], str] | None = None,
    oxidation_states: Mapping[str, float] | None,
    settings: MinimaSettings,
) -> VacancyReport:
    """Report what was searched and found for one vacancy.

    Parameters
    ----------
    vacancy
        The vacancy.
    sampling_structures
        How many sampling structures were made, those dropped not counted.
    surrogate_structures
        How many starts the surrogate has, where these are others; as many as sampling structures when None.
    dropped
        Labels of those dropped for too short distances.
    duplicates
        Labels of starts left out because another is nearly the same.
    surrogate
        Surrogate relaxations by label; None when no surrogate was used, as for finished calculations.
    reference
        Reference relaxations by label: ``<label>_from_surrogate`` starts from a surrogate minimum, ``Transferred_…`` from a
        minimum of another environment, any other label from a sampling structure.
    planned
        Labels of those that surrogate + reference asks for, besides ``Unperturbed``; one from each surrogate minimum when None.
    full_reference
        Whether every sampling structure was sent to the reference level too. Without a surrogate it always is.
    surrogate_only
        Whether nothing is relaxed at the reference level.
    failures
        Units of this vacancy that broke.
    unfinished
        Planned units of this vacancy that have no result yet and have not broken.
    keys
        Archive key by level and label, for those made by this software.
    oxidation_states
        Of the elements, units of e, to tell anions; judged by their families when None.
    settings
        When two structures are one minimum.

    Returns
    -------
    VacancyReport
        The report. ``minimum_structures`` gives the structures of the files it names.

    Raises
    ------
    ReportError
        If the relaxations of one level are not all at one level of theory: their energies cannot be compared.
    """
    found = _surrogate_and_reference(reference) if surrogate is not None else dict(reference)
    all_plain = {label: one for label, one in reference.items() if not is_led(label)}
    full = all_plain if full_reference and surrogate is not None else {}
    methods = methods_of(
        [*(surrogate or {}).values(), *(found | full).values()], where=f"{vacancy.host}/{vacancy.label}"
    )

    def minima(relaxations: Mapping[str, Relaxation], folder: str) -> tuple[MinimumReport, ...]:
        return _minima(relaxations, folder, vacancy=vacancy, oxidation_states=oxidation_states, settings=settings)

    surrogate_minima = minima(surrogate, "surrogate") if surrogate is not None else None
    reference_minima = minima(found, "")
    full_minima = minima(full, "full_reference")
    if planned is None:
        planned = [minimum.label + FROM_SURROGATE for minimum in surrogate_minima or ()]
    saved = (
        dft_saved(len(planned), sampling_structures=sampling_structures)
        if surrogate and sampling_structures and not surrogate_only
        else None
    )
    by_threshold, by_tolerance = sensitivity(
        found,
        vacancy.fractional_position,
        settings,
        thresholds=[settings.distance_threshold * factor for factor in SENSITIVITY_FACTORS],
        tolerances=[settings.energy_tolerance * factor for factor in SENSITIVITY_FACTORS],
        ideal=vacancy.ideal_structure,
    )
    return VacancyReport(
        name=vacancy.label,
        element=vacancy.element,
        charge=vacancy.charge,
        site=vacancy.fractional_position,
        multiplicity=vacancy.multiplicity,
        environment=vacancy.environment,
        missing_electrons=vacancy.missing_electrons,
        sampling_structures=sampling_structures,
        surrogate_structures=None if surrogate is None else surrogate_structures or sampling_structures,
        dropped=tuple(dropped),
        duplicates=tuple(duplicates),
        surrogate_minima=surrogate_minima,
        minima=reference_minima or None,
        full_reference_minima=full_minima or None,
        reference_relaxations=len(reference) if surrogate is None else 0 if surrogate_only else len(planned) + 1,
        reference_transfers=sum(
            label.startswith(TRANSFERRED) and not label.endswith(FROM_SURROGATE) for label in planned
        ),
        ground_state=reference_minima[0] if reference_minima else None,
        energy_lowering=energy_lowering(found),
        dft_saved=saved.with_unperturbed if saved else None,
        dft_saved_without_unperturbed=saved.without_unperturbed if saved else None,
        comparison=_comparison(
            reference_minima,
            full_minima,
            found=found,
            full=full,
            surrogate=surrogate or {},
            starts=planned,
            broke={
                label for failure in failures for label, level in [failure.unit.split("/")[-2:]] if level == "reference"
            },
            sampling_structures=sampling_structures,
        ),
        surrogate_seconds=finite(_seconds(surrogate.values())) if surrogate is not None else None,
        reference_seconds=finite(_seconds(found.values())),
        unperturbed_file=_path(vacancy, "", f"{UNPERTURBED}.vasp") if UNPERTURBED in found else None,
        threshold_sensitivity=by_threshold,
        tolerance_sensitivity=by_tolerance,
        methods=methods,
        relaxations=tuple(
            relaxation_report(one, label=label, key=(keys or {}).get((one.level, label)))
            for group in (surrogate or {}, found | full)
            for label, one in sorted(group.items(), key=lambda item: label_order(item[0]))
        ),
        failures=tuple(failures),
        unfinished=unfinished,
    )


def minimum_structures(
    report: VacancyReport, *, surrogate: Mapping[str, Relaxation] | None, reference: Mapping[str, Relaxation]
) -> dict[str, Structure]:
    """Collect the structures of the files that a report names.

    Parameters
    ----------
    report
        Made by ``vacancy_report`` from the same relaxations.
    surrogate, reference
        The relaxations by label.

    Returns
    -------
    dict of str to Structure
        Structure of each minimum, and of the relaxed ``Unperturbed``, by path relative to the run folder.
    """
    structures = {m.structure_file: (surrogate or {})[m.label].structure for m in report.surrogate_minima or ()}
    for minimum in (*(report.minima or ()), *(report.full_reference_minima or ())):
        structures[minimum.structure_file] = reference[minimum.label].structure
    if report.unperturbed_file is not None:
        structures[report.unperturbed_file] = reference[UNPERTURBED].structure
    return structures


def _surrogate_and_reference(reference: Mapping[str, Relaxation]) -> dict[str, Relaxation]:
    return {label: one for label, one in reference.items() if is_led(label) or label == UNPERTURBED}


def _minima(
    relaxations: Mapping[str, Relaxation],
    folder: str,
    *,
    vacancy: Vacancy | PointDefect,
    oxidation_states: Mapping[str, float] | None,
    settings: MinimaSettings,
) -> tuple[MinimumReport, ...]:
    found = find_minima(relaxations, vacancy.fractional_position, settings, ideal=vacancy.ideal_structure)
    unperturbed = relaxations.get(UNPERTURBED)
    zero = finite(unperturbed.energy) if unperturbed is not None and unperturbed.rankable else None
    reports = []
    for rank, minimum in enumerate(found, start=1):
        bonds = new_anion_bonds(
            minimum.relaxation.structure, ideal=vacancy.ideal_structure, oxidation_states=oxidation_states
        )
        reports.append(
            MinimumReport(
                label=minimum.label,
                labels=tuple(sorted(minimum.labels, key=label_order)),
                energy=minimum.relaxation.energy,
                relative_energy=minimum.relaxation.energy - found[0].relaxation.energy,
                energy_to_unperturbed=None if zero is None else minimum.relaxation.energy - zero,
                converged=converged(minimum.relaxation),
                motif=motif(bonds),
                bonds=tuple(BondReport(bond.elements, bond.sites, bond.length) for bond in bonds),
                structure_file=_path(vacancy, folder, f"{rank}_{minimum.label}.vasp"),
            )
        )
    return tuple(reports)


def _comparison(
    minima: Sequence[MinimumReport],
    full_minima: Sequence[MinimumReport],
    *,
    found: Mapping[str, Relaxation],
    full: Mapping[str, Relaxation],
    surrogate: Mapping[str, Relaxation],
    starts: Sequence[str],
    broke: Collection[str],
    sampling_structures: int,
) -> ComparisonReport | None:
    """Compare as far as what has finished can prove; ``starts`` are the labels that surrogate + reference relaxes.

    What broke has led nowhere, until it is tried again.
    """
    if not minima or not full_minima:
        return None
    lowest, full_lowest = minima[0], full_minima[0]
    finished = sum(one.finished for one in full.values())
    left = {label for label in [*starts, UNPERTURBED] if label not in found or not found[label].finished}
    searched = left <= set(broke)
    complete = searched and finished >= sampling_structures
    within = is_hit(lowest.energy, full_reference_energy=full_lowest.energy)
    known = complete or (searched and not within)
    times = SearchTimes(
        full_reference=_seconds(full.values()),
        minima_reference=_seconds([one for label, one in found.items() if is_led(label)]),
        surrogate=_seconds(surrogate.values()),
    )
    return ComparisonReport(
        full_reference_finished=finished,
        hit=within if known else None,
        new_ground_state=is_new_ground_state(lowest.energy, full_reference_energy=full_lowest.energy)
        if known
        else None,
        energy_difference=lowest.energy - full_lowest.energy,
        full_reference_ground_state=full_lowest.label,
        full_reference_motif=full_lowest.motif,
        missed_motif=full_lowest.motif if known and not within else None,
        speedup=speed_up(times) if complete and not left else None,
        full_reference_seconds=finite(times.full_reference),
        minima_reference_seconds=finite(times.minima_reference),
    )


def _path(vacancy: Vacancy | PointDefect, folder: str, name: str) -> str:
    """Join a path that stays in the run folder; each unsafe character becomes ~ and its code, so no two names meet."""
    parts = [part for part in ("minima", vacancy.host, vacancy.label, folder, name) if part]
    return "/".join(_UNSAFE.sub(lambda match: "".join(f"~{ord(c):x}" for c in match[0]), part) for part in parts)


def _seconds(relaxations: Collection[Relaxation]) -> float:
    return math.fsum(one.provenance.seconds for one in relaxations) if relaxations else 0.0
