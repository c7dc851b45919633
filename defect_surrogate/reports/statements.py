"""A report in words: what was searched, at which level of theory, what was found, what was missed and what went wrong.

The page, the terminal and the artifacts of a flow all say these sentences, so that no two of them disagree.
"""

from dataclasses import dataclass
from typing import Literal

from defect_surrogate.metrics import HIT_TOLERANCE
from defect_surrogate.reconstruction import NO_BONDS
from defect_surrogate.reports.schema import (
    ComparisonReport,
    HostReport,
    RelaxationReport,
    VacancyReport,
)

FAILURES_SHOWN = 3
"""Failures of a vacancy told one by one; more are counted, and listed in the page's table and in campaign.json."""


@dataclass(frozen=True)
class Statement:
    """A sentence or two of the summary.

    Attributes
    ----------
    kind
        ``searched``, ``found``, ``missed`` or ``warning``.
    text
        Plain text, unescaped.
    """

    kind: Literal["searched", "found", "missed", "warning"]
    text: str


def vacancy_statements(vacancy: VacancyReport, *, host: HostReport) -> tuple[Statement, ...]:
    """Say what was searched and found for one vacancy.

    Parameters
    ----------
    vacancy
        Its report.
    host
        The report of its host, for the levels of theory.

    Returns
    -------
    tuple of Statement
        In the order of reading.
    """
    statements = [Statement("searched", _searched(vacancy, host)), *_found(vacancy)]
    if vacancy.comparison is not None:
        statements.append(_compared(vacancy, vacancy.comparison))
    elif vacancy.surrogate_minima is not None and not _surrogate_alone(vacancy):
        statements.append(
            Statement(
                "searched",
                "Whether the surrogate led past a lower structure is not known: the full reference search, which relaxes "
                "every sampling structure at the reference level, was not run or has no result.",
            )
        )
    if unrecorded := sum(one.converged is None for one in vacancy.relaxations):
        come = "comes" if unrecorded == 1 else "come"
        origin = f"{come} from CONTCAR and an energies file, which record no convergence."
        statements.append(Statement("searched", f"{_count(unrecorded, 'relaxation')} {origin}"))
    return (*statements, *_warnings(vacancy))


def in_ev(energy: float) -> str:
    """Write an energy difference for people.

    Parameters
    ----------
    energy
        eV.

    Returns
    -------
    str
        With sign and unit, to 1 meV, e.g. ``−0.755 eV``.
    """
    rounded = round(energy, 3) + 0.0
    return f"{rounded:+.3f} eV".replace("-", "−") if rounded else "0.000 eV"


def _searched(vacancy: VacancyReport, host: HostReport) -> str:
    electrons = vacancy.missing_electrons
    text = (
        f"{vacancy.element} vacancy, charge {vacancy.charge:+d}"
        if vacancy.charge
        else f"Neutral {vacancy.element} vacancy"
    )
    text += f", neighbours {vacancy.environment}" if vacancy.environment else ""
    text += (
        f", {electrons} missing {'electron' if electrons == 1 else 'electrons'}. " if electrons is not None else ". "
    )
    if vacancy.surrogate_minima is None:
        finished = sum(one.level == "reference" for one in vacancy.relaxations)
        text += (
            f"{_count(finished, 'finished relaxation')} at the reference level ({host.reference or 'none'}) analysed."
        )
    else:
        relaxed = sum(one.level == "surrogate" for one in vacancy.relaxations)
        starts = vacancy.surrogate_structures or vacancy.sampling_structures
        of_all = f"{relaxed} of " if relaxed < starts else ""
        text += (
            f"{of_all}{_count(starts, 'sampling structure')} relaxed with the surrogate "
            f"({host.surrogate or 'no result'}) gave {_count(len(vacancy.surrogate_minima), 'distinct minimum')}."
        )
        if not vacancy.reference_relaxations:
            return text + " The surrogate was used alone: nothing is relaxed at the reference level."
        text += (
            f" Surrogate + reference then needs {_count(vacancy.reference_relaxations, 'reference relaxation')} "
            f"({host.reference or 'none finished'}): {_followed(vacancy)}, and Unperturbed."
        )
        if vacancy.dft_saved is not None and vacancy.dft_saved_without_unperturbed is not None:
            text += (
                f" DFT saved: {vacancy.dft_saved:.0%} of the reference relaxations, or "
                f"{vacancy.dft_saved_without_unperturbed:.0%} when Unperturbed is not counted."
            )
    return text


def _surrogate_alone(vacancy: VacancyReport) -> bool:
    return vacancy.surrogate_minima is not None and not vacancy.reference_relaxations


def _followed(vacancy: VacancyReport) -> str:
    followed = vacancy.reference_relaxations - 1 - vacancy.reference_transfers
    text = f"one from each of {followed} surrogate minima, the lowest of each motif first"
    if followed == len(vacancy.surrogate_minima or ()):
        text = "one from each surrogate minimum"
    elif followed == 1:
        text = "one from one of them"
    if vacancy.reference_transfers:
        text += (
            f", {_count(vacancy.reference_transfers, 'minimum')} that other environments have at the reference level"
        )
    return text


def _found(vacancy: VacancyReport) -> list[Statement]:
    ground, lowering = vacancy.ground_state, vacancy.energy_lowering
    if _surrogate_alone(vacancy):
        lowest = next(iter(vacancy.surrogate_minima or ()), None)
        if lowest is None:
            return [Statement("warning", "No relaxation has a result that can be ranked.")]
        return [
            Statement("found", f"Lowest minimum of the surrogate: {_described(lowest.motif)} (from {lowest.label}).")
        ]
    if ground is None or vacancy.minima is None:
        return [
            Statement("warning", "No reference relaxation has a result that can be ranked: no ground state is known.")
        ]
    minima = f"{_count(len(vacancy.minima), 'distinct minimum')} at the reference level. "
    if lowering is None:
        relative = "Energy lowering is not known: the reference relaxation of Unperturbed has no result."
    elif lowering < -HIT_TOLERANCE:
        relative = f"Energy lowering: {in_ev(lowering)} relative to the relaxed Unperturbed structure."
    else:
        relative = (
            "No reconstruction that lowers the energy was found: it is within "
            f"{HIT_TOLERANCE} eV of the relaxed Unperturbed structure ({in_ev(lowering)})."
        )
    statements = [
        Statement("found", f"{minima}Ground state: {_described(ground.motif)} (from {ground.label}). {relative}")
    ]
    if ground.converged is False:
        statements.append(
            Statement(
                "warning", "The ground state's relaxation did not converge: its energy and bonds are provisional."
            )
        )
    return statements


def _compared(vacancy: VacancyReport, comparison: ComparisonReport) -> Statement:
    finished, structures = comparison.full_reference_finished, vacancy.sampling_structures
    search = f"Full reference search ({finished} of {structures} relaxations finished)"
    full = f"{_described(comparison.full_reference_motif)} (from {comparison.full_reference_ground_state})"
    faster = f" Speed-up: {comparison.speedup:.1f}." if comparison.speedup is not None else ""
    difference = abs(comparison.energy_difference)
    if comparison.hit is None:
        missing = (
            f"only {finished} of {structures} relaxations of the full reference search are finished"
            if finished < structures
            else "not every reference relaxation of surrogate + reference is finished"
        )
        return Statement(
            "searched",
            f"Whether the surrogate led past a lower structure is not known yet: {missing}. The lowest of the full "
            f"reference search so far is {full}, the lowest of surrogate + reference is at "
            f"{in_ev(comparison.energy_difference)} relative to it.",
        )
    if not comparison.hit:
        return Statement(
            "missed",
            f"Missed by the surrogate: {full} is {difference:.3f} eV lower than anything surrogate + reference found. "
            f"{search}.{faster}",
        )
    if comparison.new_ground_state:
        return Statement(
            "found",
            f"New ground state: surrogate + reference is {difference:.3f} eV lower than the lowest of the full reference "
            f"search, {full}. {search}.{faster}",
        )
    return Statement(
        "found",
        f"Hit: surrogate + reference found the ground state of the full reference search, {full}, "
        f"to {HIT_TOLERANCE} eV (difference {in_ev(comparison.energy_difference)}). {search}.{faster}",
    )


def _warnings(vacancy: VacancyReport) -> list[Statement]:
    warnings = []
    for level in ("surrogate", "reference"):
        of_level = [one for one in vacancy.relaxations if one.level == level]
        diverged = [one for one in of_level if one.energy is None]
        merged = [one for one in of_level if one.reason == "merged"]
        ranked = [one for one in of_level if one.energy is not None and one.reason != "merged"]
        unconverged = [one for one in ranked if one.converged is False]
        if diverged:
            warnings.append(
                f"{_count(len(diverged), f'{level} relaxation')} diverged, not ranked: {_listed(diverged)}."
            )
        if merged:
            warnings.append(
                f"{_count(len(merged), f'{level} relaxation')} ended early, in basins already reached: {_listed(merged)}."
            )
        if unconverged:
            warnings.append(
                f"{_count(len(unconverged), f'{level} relaxation')} did not converge, ranked nevertheless: "
                f"{_listed(unconverged)}."
            )
    if vacancy.dropped:
        warnings.append(
            f"{_count(len(vacancy.dropped), 'sampling structure')} dropped by ShakeNBreak because two atoms came too "
            f"close: {', '.join(vacancy.dropped)}."
        )
    if vacancy.unfinished:
        have = "has" if vacancy.unfinished == 1 else "have"
        warnings.append(
            f"{_count(vacancy.unfinished, 'planned unit')} {have} no result yet: all of this is provisional."
        )
    warnings += [f"Failed: {one.unit}: {one.error}: {one.message}" for one in vacancy.failures[:FAILURES_SHOWN]]
    if len(vacancy.failures) > FAILURES_SHOWN:
        warnings.append(f"{len(vacancy.failures)} units failed in all.")
    return [Statement("warning", text) for text in warnings]


def _listed(relaxations: list[RelaxationReport]) -> str:
    if len(relaxations) > 4:
        return f"{', '.join(one.label for one in relaxations[:3])} and {len(relaxations) - 3} more"
    return ", ".join(f"{one.label} ({one.reason}{f': {one.detail}' if one.detail else ''})" for one in relaxations)


def _described(motif: str) -> str:
    return "a structure with no new anion–anion bonds" if motif == NO_BONDS else motif


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun.removesuffix('um')}a" if noun.endswith("minimum") else f"{number} {noun}s"
