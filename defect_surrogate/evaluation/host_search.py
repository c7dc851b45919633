"""Figures of merit of searches of hosts that the surrogate has not seen, over all their defects.

Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9, Table 2 and SI 1.C) have for 32 defects of 13 compositions: 88 % hits,
73 % of the DFT relaxations saved, speed-ups of 13.2 (mean) and 5.6 (median).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from defect_surrogate.errors import ReportError
from defect_surrogate.evaluation.surrogate import Evaluation, pooled_figures
from defect_surrogate.metrics import HIT_TOLERANCE, SearchTimes, hit_rate, mean_of_known, speed_ups

_UNKNOWN = float("nan")


@dataclass(frozen=True)
class SearchedDefect:
    """One defect that was searched both ways, with surrogate + reference and with the reference alone.

    Attributes
    ----------
    host
        Name of the host.
    composition
        Its reduced formula.
    defect
        Name and charge.
    hit
        Whether surrogate + reference found the ground state; None while one of the two searches is unfinished.
    new_ground_state
        Whether it found a lower one; None where ``hit`` is.
    energy_difference
        E(surrogate + reference) − E(full reference search), eV; None where ``hit`` is.
    unperturbed_above_ground_state
        E(``Unperturbed``) − E(ground state of either search), eV: what a search gains here at all. None where ``hit`` is, or if
        the relaxation of ``Unperturbed`` broke.
    dft_saved
        Share of the reference relaxations saved, ``Unperturbed`` counted; None when not known.
    dft_saved_without_unperturbed
        The same, ``Unperturbed`` not counted.
    speedup
        Ratio t(full reference search) / t(surrogate + reference); None when not known. As in the paper, surrogate + reference
        is charged for the surrogate and its minima, and not for ``Unperturbed``.
    full_reference_seconds
        Reference relaxations of all sampling structures, s; None when not known.
    minima_reference_seconds
        Reference relaxations of the surrogate minima, s; None when not known.
    surrogate_seconds
        Surrogate relaxations, s; None when not known.
    mae_rel_low_meV_per_atom
        Mean absolute error of the surrogate's energies relative to the ground state, of configurations less than 5 eV above
        it, meV/atom; None without an evaluation.
    spearman
        Rank correlation of the surrogate's energies with the reference's, dimensionless; None without an evaluation.
    """

    host: str
    composition: str
    defect: str
    hit: bool | None = None
    new_ground_state: bool | None = None
    energy_difference: float | None = None
    unperturbed_above_ground_state: float | None = None
    dft_saved: float | None = None
    dft_saved_without_unperturbed: float | None = None
    speedup: float | None = None
    full_reference_seconds: float | None = None
    minima_reference_seconds: float | None = None
    surrogate_seconds: float | None = None
    mae_rel_low_meV_per_atom: float | None = None
    spearman: float | None = None

    @property
    def reconstructs(self) -> bool:
        """Whether a plain relaxation of the ideal vacancy misses the ground state, or came to no energy."""
        above = self.unperturbed_above_ground_state
        return above is None or above > HIT_TOLERANCE


@dataclass(frozen=True)
class SearchFigures:
    """Figures of merit over the defects whose two searches were run to their ends; None where none is known.

    Attributes
    ----------
    n_compositions
        Number of compositions of their hosts.
    n_defects
        Number of these defects.
    n_unfinished
        Number of further defects without a verdict, which enter nothing here.
    hit_rate
        Share of hits.
    n_reconstructing
        Number of defects whose ``Unperturbed`` is more than ``HIT_TOLERANCE`` above the ground state: those that a plain
        relaxation misses.
    hit_rate_reconstructing
        Share of hits among these.
    new_ground_states
        Number of defects with a ground state lower than that of the full reference search.
    dft_saved
        Mean of the shares of reference relaxations saved, ``Unperturbed`` counted.
    dft_saved_without_unperturbed
        The same, ``Unperturbed`` not counted.
    speedup_mean, speedup_median
        Arithmetic mean and median of the speed-ups of the defects.
    speedup_total
        Ratio of the total time of the full reference searches to that of surrogate + reference.
    mae_rel_low_meV_per_atom
        Mean absolute error of the surrogate's energies relative to each ground state, of configurations less than 5 eV above
        it, meV/atom; None without an evaluation of these defects.
    spearman
        Mean of the rank correlations of these defects, dimensionless; None without an evaluation of them.
    """

    n_compositions: int
    n_defects: int
    n_unfinished: int
    hit_rate: float | None
    n_reconstructing: int
    hit_rate_reconstructing: float | None
    new_ground_states: int
    dft_saved: float | None
    dft_saved_without_unperturbed: float | None
    speedup_mean: float | None
    speedup_median: float | None
    speedup_total: float | None
    mae_rel_low_meV_per_atom: float | None
    spearman: float | None


@dataclass(frozen=True)
class HostSearchResults:
    """The content of ``host-search.json``.

    Attributes
    ----------
    surrogate
        Level of theory of the surrogate, in words.
    reference
        Level of theory of the reference, in words.
    unseen
        Figures of merit over all defects.
    per_defect
        Each defect.
    """

    surrogate: str
    reference: str
    unseen: SearchFigures
    per_defect: tuple[SearchedDefect, ...]


def search_figures(searched: Sequence[SearchedDefect], *, evaluation: Evaluation | None = None) -> SearchFigures:
    """Summarise searches over all their defects.

    Parameters
    ----------
    searched
        The defects, each once.
    evaluation
        Errors of the same surrogate on a dataset with the same defects; those of other defects in it are left out.

    Returns
    -------
    SearchFigures
        Over the defects with a verdict.

    Raises
    ------
    ReportError
        If a defect is there twice, and would count twice, or an evaluation lacks one that was searched.
    """
    names = [(one.host, one.defect) for one in searched]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ReportError(f"{twice[0][0]}/{twice[0][1]}: is in two of the searches, and would count twice")
    compared = {(one.host, one.defect): one for one in searched if one.hit is not None}
    reconstructing = [one for one in compared.values() if one.reconstructs]
    speedups = speed_ups([_times(one) for one in compared.values()])
    groups = () if evaluation is None else evaluation.groups
    evaluated = {(group.host, group.defect) for group in groups}
    if evaluation is not None and (absent := sorted(compared.keys() - evaluated)):
        raise ReportError(f"{absent[0][0]}/{absent[0][1]}: was searched, and is not in the evaluation")
    errors = pooled_figures([group.figures for group in groups if (group.host, group.defect) in compared])
    return SearchFigures(
        n_compositions=len({one.composition for one in compared.values()}),
        n_defects=len(compared),
        n_unfinished=len(searched) - len(compared),
        hit_rate=hit_rate(one.hit for one in compared.values()),
        n_reconstructing=len(reconstructing),
        hit_rate_reconstructing=hit_rate(one.hit for one in reconstructing),
        new_ground_states=sum(one.new_ground_state is True for one in compared.values()),
        dft_saved=mean_of_known(one.dft_saved for one in compared.values()),
        dft_saved_without_unperturbed=mean_of_known(one.dft_saved_without_unperturbed for one in compared.values()),
        speedup_mean=None if speedups is None else speedups.mean,
        speedup_median=None if speedups is None else speedups.median,
        speedup_total=None if speedups is None else speedups.ratio_of_totals,
        mae_rel_low_meV_per_atom=None if errors.low_energy is None else errors.low_energy.mae,
        spearman=errors.spearman,
    )


def with_errors(searched: Sequence[SearchedDefect], evaluation: Evaluation) -> tuple[SearchedDefect, ...]:
    """Write the errors of the surrogate beside the verdicts.

    Parameters
    ----------
    searched
        The defects.
    evaluation
        Errors of the same surrogate on a dataset with the same defects.

    Returns
    -------
    tuple of SearchedDefect
        In their order; those that are not in the evaluation as they were.
    """
    figures = {(group.host, group.defect): group.figures for group in evaluation.groups}
    return tuple(
        replace(
            one,
            mae_rel_low_meV_per_atom=None if own.low_energy is None else own.low_energy.mae,
            spearman=own.spearman,
        )
        if (own := figures.get((one.host, one.defect)))
        else one
        for one in searched
    )


def host_search_json(results: HostSearchResults) -> str:
    """Write the results as strict JSON; what is not known is null.

    Parameters
    ----------
    results
        The results.

    Returns
    -------
    str
        Ending with a newline.
    """
    return json.dumps(asdict(results), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _times(one: SearchedDefect) -> SearchTimes:
    times = (one.full_reference_seconds, one.minima_reference_seconds, one.surrogate_seconds)
    full, minima, surrogate = (_UNKNOWN if seconds is None else seconds for seconds in times)
    return SearchTimes(full_reference=full, minima_reference=minima, surrogate=surrogate)
