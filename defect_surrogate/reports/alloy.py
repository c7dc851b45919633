"""From the reports of an alloy's supercells to the table of its environments, and to the report of all compositions."""

import json
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from defect_surrogate.alloys import AlloyHost, Composition, Environment
from defect_surrogate.distortions import FROM_SURROGATE, TRANSFERRED, UNPERTURBED, is_led
from defect_surrogate.reconstruction import NO_BONDS
from defect_surrogate.reports.alloy_schema import (
    ALLOY_SCHEMA_VERSION,
    AlloyReport,
    CompositionReport,
    EnvironmentReport,
)
from defect_surrogate.reports.alloy_weights import environment_statistics, weighted_lowering
from defect_surrogate.reports.schema import BondReport, HostReport, MinimumReport, VacancyReport

_REPRESENTATIVE = re.compile(r"\.\d+$")


def composition_report(
    composition: Composition,
    supercells: Sequence[AlloyHost],
    environments: Sequence[Sequence[Environment]],
    hosts: Sequence[HostReport],
    *,
    unfinished: int,
) -> CompositionReport:
    """Report what was searched and found at one composition.

    Parameters
    ----------
    composition
        The composition.
    supercells
        Its realisations; none if an end member has no result.
    environments
        Those of each realisation.
    hosts
        Reports of the realisations that were searched.
    unfinished
        Relaxations of end members and supercells without a result.

    Returns
    -------
    CompositionReport
        The report.
    """
    numbers = {one.host.name: one.realisation for one in supercells}
    groups = {
        (supercell.host.name, f"v_{one.element}_{one.label}"): one.words
        for supercell, found in zip(supercells, environments, strict=True)
        for one in found
    }
    rows = tuple(
        environment_report(vacancy, host=host.name, realisation=numbers[host.name], groups=groups)
        for host in hosts
        if host.name in numbers
        for vacancy in host.vacancies
    )
    counted = environment_statistics(environments)
    mean, covered = weighted_lowering(rows, {(one.element, one.environment): one.probability for one in counted})
    return CompositionReport(
        name=composition.name,
        requested=dict(zip(composition.species, composition.requested, strict=True)),
        achieved=dict(zip(composition.species, composition.fractions, strict=True)),
        x=composition.x,
        volume_per_atom=tuple(float(one.host.supercell.volume / len(one.host.supercell)) for one in supercells),
        energy_lowering=mean,
        covered=covered,
        statistics=counted,
        rows=rows,
        unfinished=unfinished,
    )


def environment_report(
    vacancy: VacancyReport, *, host: str, realisation: int, groups: Mapping[tuple[str, str], str]
) -> EnvironmentReport:
    """Report one vacancy of an alloy.

    Parameters
    ----------
    vacancy
        Its report.
    host
        Name of its supercell.
    realisation
        Number of the supercell.
    groups
        Environment of each group of sites, by supercell and name of the vacancy.

    Returns
    -------
    EnvironmentReport
        At the reference level if there is a result, else at that of the surrogate.
    """
    comparison, full = vacancy.comparison, vacancy.full_reference_minima
    against = comparison if comparison and comparison.full_reference_finished >= vacancy.sampling_structures else None
    ground = vacancy.ground_state or next(iter(vacancy.surrogate_minima or ()), None)
    lowering = vacancy.energy_lowering
    if vacancy.ground_state is None and ground is not None:
        lowering = ground.energy_to_unperturbed
    group = _REPRESENTATIVE.sub("", vacancy.name.rsplit("_", 1)[0])
    starts = [one.label for one in vacancy.relaxations if one.level == "surrogate"]
    return EnvironmentReport(
        host=host,
        realisation=realisation,
        vacancy=vacancy.name,
        element=vacancy.element,
        environment=groups[host, group],
        group=group,
        sites=vacancy.multiplicity or 0,
        level=None if ground is None else "surrogate" if vacancy.ground_state is None else "reference",
        surrogate_structures=vacancy.surrogate_structures or 0,
        transferred_structures=sum(label.startswith(TRANSFERRED) for label in starts),
        duplicates=len(vacancy.duplicates),
        dropped=len(vacancy.dropped),
        surrogate_minima=len(vacancy.surrogate_minima or ()),
        reference_structures=vacancy.sampling_structures,
        coarse_minima=None if full is None else len(full),
        minima=None if vacancy.minima is None else len(vacancy.minima),
        reference_relaxations=vacancy.reference_relaxations,
        coarse_bonds=None if full is None else bonds_in_words(full[0].bonds),
        bonds=None if ground is None else bonds_in_words(ground.bonds),
        motif=None if ground is None else ground.motif,
        bond_counts={} if ground is None else dict(_kinds(ground.bonds)),
        energy_lowering=lowering,
        energy_difference=None if comparison is None else comparison.energy_difference,
        found_or_lower=None if against is None else against.hit,
        lower=None if against is None else against.new_ground_state,
        unperturbed_bonds=_unperturbed_bonds(vacancy),
        transfer_gain=transfer_gain(vacancy),
        dft_saved=vacancy.dft_saved,
        speedup=None if comparison is None else comparison.speedup,
        surrogate_seconds=vacancy.surrogate_seconds,
        reference_seconds=vacancy.reference_seconds,
        coarse_seconds=None if comparison is None else comparison.full_reference_seconds,
        unfinished=vacancy.unfinished,
        failures=len(vacancy.failures),
    )


def bonds_in_words(bonds: Sequence[BondReport]) -> str:
    """Name the kinds of new bonds, e.g. ``Se–Te``, ``2 Te–Te + Se–Te``; ``no new bonds`` for none."""
    kinds = sorted(_kinds(bonds).items(), key=lambda item: (-item[1], item[0]))
    return " + ".join(f"{count} {kind}" if count > 1 else kind for kind, count in kinds) or NO_BONDS


def transfer_gain(vacancy: VacancyReport) -> float | None:
    """How much the minima of other environments, offered as starts, brought the ground state down.

    Parameters
    ----------
    vacancy
        The report.

    Returns
    -------
    float or None
        E(lowest) − E(lowest that the other starts followed lead to), eV, at the reference level if there is a result, else at
        that of the surrogate; None where nothing was offered, or nothing else has a result.
    """
    surrogate = vacancy.surrogate_minima or ()
    offered = [*surrogate, *(vacancy.minima or ())]
    if not any(label.startswith(TRANSFERRED) for one in offered for label in one.labels):
        return None
    own = {one.label for one in surrogate if any(not label.startswith(TRANSFERRED) for label in one.labels)}
    if vacancy.minima is None:
        energies, mine = surrogate, [one.energy for one in surrogate if one.label in own]
    else:
        energies, mine = vacancy.minima, [one.energy for one in vacancy.minima if _reached(one, own)]
    return energies[0].energy - min(mine) if mine else None


def alloy_report(
    name: str,
    compositions: Sequence[CompositionReport],
    *,
    levels: Mapping[str, str | None],
    lost: Mapping[str, str],
    versions: Mapping[str, str],
    created: datetime,
) -> AlloyReport:
    """Report a sweep.

    Parameters
    ----------
    name
        Of the alloy.
    compositions
        Reports of those that have one.
    levels
        Level of theory of ``surrogate`` and ``reference``.
    lost
        What the others broke with.
    versions
        Library → version.
    created
        When, with its time zone.

    Returns
    -------
    AlloyReport
        The report.
    """
    rows = [row for one in compositions for row in one.rows]
    compared = [row for row in rows if row.found_or_lower is not None]
    lower = [row.energy_difference for row in compared if row.lower and row.energy_difference is not None]
    saved = [row.dft_saved for row in rows if row.dft_saved is not None]
    speedups = [row.speedup for row in compared if row.speedup is not None]
    return AlloyReport(
        schema_version=ALLOY_SCHEMA_VERSION,
        created=created.astimezone(UTC).isoformat(timespec="seconds"),
        name=name,
        surrogate=levels.get("surrogate"),
        reference=levels.get("reference"),
        n_environments=len(rows),
        compared=len(compared),
        found_or_lower=sum(row.found_or_lower is True for row in compared),
        lower=len(lower),
        mean_lowering_eV=statistics.fmean(lower) if lower else None,
        dft_saved=statistics.fmean(saved) if saved else None,
        speedup_median=statistics.median(speedups) if speedups else None,
        compositions=tuple(compositions),
        lost=dict(lost),
        versions=dict(sorted(versions.items())),
    )


def alloy_json(report: AlloyReport) -> str:
    """Write a report as strict JSON, the rows of all compositions also in one list."""
    content = asdict(report) | {
        "rows": [{"x": one.x, "composition": one.name} | asdict(row) for one in report.compositions for row in one.rows]
    }
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def _unperturbed_bonds(vacancy: VacancyReport) -> str | None:
    minima = vacancy.minima or vacancy.surrogate_minima or ()
    return next((bonds_in_words(one.bonds) for one in minima if UNPERTURBED in one.labels), None)


def _reached(minimum: MinimumReport, own: set[str]) -> bool:
    """Whether a start that is not transferred leads to a minimum of the reference level."""
    led = (label.removesuffix(FROM_SURROGATE) for label in minimum.labels if label.endswith(FROM_SURROGATE))
    return any(not is_led(label) for label in minimum.labels) or any(label in own for label in led)


def _kinds(bonds: Sequence[BondReport]) -> Counter[str]:
    return Counter("–".join(sorted(bond.elements)) for bond in bonds)
