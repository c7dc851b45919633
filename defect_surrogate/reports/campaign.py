"""From the reports of vacancies to those of hosts and of a campaign."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import fmean

from defect_surrogate.errors import ReportError
from defect_surrogate.hosts import Host
from defect_surrogate.metrics import SearchTimes, speed_ups
from defect_surrogate.relaxation import Level, Relaxation, digest
from defect_surrogate.reports.methods import methods_of, relaxation_report
from defect_surrogate.reports.schema import (
    SCHEMA_VERSION,
    CampaignComparisonReport,
    CampaignReport,
    FailureReport,
    HostReport,
    MethodReport,
    VacancyReport,
)
from defect_surrogate.settings import MinimaSettings, SearchSettings

"""Distributions whose versions a report names."""

NAN = float("nan")


def host_report(
    host: Host,
    *,
    vacancies: Sequence[VacancyReport],
    relaxation: Relaxation | None = None,
    relaxation_key: str | None = None,
    cell: str | None = None,
    failures: Sequence[FailureReport] = (),
    unfinished: int = 0,
) -> HostReport:
    """Report what was searched and found for one host.

    Parameters
    ----------
    host
        The host, with the cell that was searched.
    vacancies
        Reports of its vacancies.
    relaxation
        Relaxation of the host itself at the reference level; None when its cell was used as given.
    relaxation_key
        Key of that unit in the archive.
    cell
        How the cell of an alloy was made; None for a host that was read.
    failures
        Units of the host itself that broke.
    unfinished
        Units of the host itself that have no result yet and have not broken.

    Returns
    -------
    HostReport
        The report.

    Raises
    ------
    ReportError
        If the vacancies were relaxed at different levels of theory.
    """
    methods = _merged([method for vacancy in vacancies for method in vacancy.methods])
    surrogate = _level_of_theory(methods, "surrogate", host.name)
    reference = _level_of_theory(methods, "reference", host.name)
    if relaxation is not None:
        methods = _merged([*methods, *methods_of([relaxation], where=f"{host.name}/bulk")])
    return HostReport(
        name=host.name,
        formula=host.unit_cell.composition.reduced_formula,
        source=host.source,
        digest=host.digest,
        cell=cell,
        oxidation_states={element: float(state) for element, state in sorted(host.oxidation_states.items())},
        supercell_atoms=len(host.supercell),
        lattice=tuple((float(x), float(y), float(z)) for x, y, z in host.supercell.lattice.matrix),
        relaxation=None if relaxation is None else relaxation_report(relaxation, label="Host", key=relaxation_key),
        surrogate=surrogate,
        reference=reference,
        reference_is_stand_in=any(m.level == "reference" and "vasp-xtb" in m.level_of_theory for m in methods),
        methods=methods,
        vacancies=tuple(vacancies),
        failures=tuple(failures),
        unfinished=unfinished,
    )


def campaign_report(
    hosts: Sequence[HostReport],
    *,
    settings: SearchSettings | None,
    minima: MinimaSettings,
    versions: Mapping[str, str],
    created: datetime,
) -> CampaignReport:
    """Report a campaign.

    Parameters
    ----------
    hosts
        Reports of its hosts.
    settings
        Settings of the run; None for an analysis of finished calculations.
    minima
        The settings by which distinct minima were told apart.
    versions
        Library → version, e.g. ``library_versions()``.
    created
        When, with its time zone.

    Returns
    -------
    CampaignReport
        The report.
    """
    vacancies = [vacancy for host in hosts for vacancy in host.vacancies]
    content = None if settings is None else settings.model_dump(mode="json")
    return CampaignReport(
        schema_version=SCHEMA_VERSION,
        created=created.astimezone(UTC).isoformat(timespec="seconds"),
        settings_digest=None if content is None else digest(content),
        settings=content,
        versions=dict(sorted(versions.items())),
        distance_threshold=minima.distance_threshold,
        energy_tolerance=minima.energy_tolerance,
        threshold_sensitivity=_summed(vacancy.threshold_sensitivity for vacancy in vacancies),
        tolerance_sensitivity=_summed(vacancy.tolerance_sensitivity for vacancy in vacancies),
        comparison=_comparison(vacancies),
        hosts=tuple(hosts),
    )


def _summed(counts: Iterable[tuple[tuple[float, int], ...]]) -> tuple[tuple[float, int], ...]:
    total: Counter[float] = Counter()
    for one in counts:
        total.update(dict(one))
    return tuple(sorted(total.items()))


def _merged(methods: Sequence[MethodReport]) -> tuple[MethodReport, ...]:
    merged: dict[tuple[str, str, str], MethodReport] = {}
    for method in methods:
        key = (method.level, method.level_of_theory, method.digest)
        before = merged.get(key)
        merged[key] = (
            method
            if before is None
            else replace(
                before, relaxations=before.relaxations + method.relaxations, versions=before.versions | method.versions
            )
        )
    return tuple(merged[key] for key in sorted(merged, key=lambda key: (key[0] == "reference", key)))


def _level_of_theory(methods: Sequence[MethodReport], level: Level, host: str) -> str | None:
    theories = sorted({method.level_of_theory for method in methods if method.level == level})
    if len(theories) > 1:
        raise ReportError(f"{host}: {level} relaxations at different levels of theory cannot be compared: {theories}")
    return theories[0] if theories else None


def _comparison(vacancies: Sequence[VacancyReport]) -> CampaignComparisonReport | None:
    """Summarise the finished comparisons: of unfinished ones only misses are known, which would count too many."""
    compared = [
        (vacancy, comparison)
        for vacancy in vacancies
        if (comparison := vacancy.comparison) is not None
        and comparison.hit is not None
        and comparison.full_reference_finished >= vacancy.sampling_structures
    ]
    if not compared:
        return None
    speedups = speed_ups(
        [
            SearchTimes(
                full_reference=_known(comparison.full_reference_seconds),
                minima_reference=_known(comparison.minima_reference_seconds),
                surrogate=_known(vacancy.surrogate_seconds),
            )
            for vacancy, comparison in compared
        ]
    )
    saved = [vacancy.dft_saved for vacancy, _ in compared if vacancy.dft_saved is not None]
    return CampaignComparisonReport(
        vacancies=len(compared),
        hits=sum(comparison.hit is True for _, comparison in compared),
        new_ground_states=sum(comparison.new_ground_state is True for _, comparison in compared),
        mean_dft_saved=fmean(saved) if saved else None,
        mean_speedup=speedups.mean if speedups else None,
        median_speedup=speedups.median if speedups else None,
        ratio_of_totals=speedups.ratio_of_totals if speedups else None,
    )


def _known(seconds: float | None) -> float:
    return NAN if seconds is None else seconds
