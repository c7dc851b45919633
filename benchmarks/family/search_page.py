"""The page of searches of unseen hosts: figures beside the paper's, a row for each defect, and what was missed."""

from collections.abc import Sequence
from typing import Any

from budgets import budget_rows
from datasets import MEASURED_ON

from defect_surrogate.evaluation import HostSearchResults, SearchedDefect
from defect_surrogate.markdown import markdown_table
from defect_surrogate.metrics import HIT_TOLERANCE, hit_rate, mean_of_known
from defect_surrogate.reports.schema import VacancyReport

PAPER = {
    "hit_rate": 0.88,
    "dft_saved_without_unperturbed": 0.73,
    "speedup_mean": 13.2,
    "speedup_median": 5.6,
    "mae_rel_low_meV_per_atom": 3.6,
    "spearman": 0.72,
}
"""doi:10.1038/s41524-024-01303-9, Table 2 and Supplementary Note 1.C: 32 defects of 13 compositions at HSE06."""

NAMES = {
    "hit_rate": "hits",
    "hit_rate_reconstructing": "hits among defects that reconstruct",
    "dft_saved_without_unperturbed": "DFT relaxations saved by following minima only, as the paper counts",
    "dft_saved": "the same, `Unperturbed` at the reference level counted too",
    "speedup_mean": "speed-up, mean",
    "speedup_median": "speed-up, median",
    "speedup_total": "speed-up, totals",
    "mae_rel_low_meV_per_atom": "relative energies below 5 eV, MAE, meV/atom",
    "spearman": "Spearman",
}

MISSED_BEFORE = ("SnSe",)
"""Hosts whose misses have led to a change of the search."""


def page(
    found: HostSearchResults,
    vacancies: Sequence[tuple[str, VacancyReport]],
    *,
    command: str,
    chgnet: dict[str, Any] | None = None,
    misses: list[str] | None = None,
    stability: Sequence[dict[str, Any]] = (),
    trained_on: Sequence[str] = (),
) -> str:
    """Return the page as Markdown.

    ``vacancies`` are those of ``found`` with the names of their hosts; ``chgnet`` is the JSON of the same searches with CHGNet,
    for a column beside; ``stability`` that of stability.py; ``trained_on`` the compositions whose vacancies the surrogate has
    learnt from.
    """
    figures = found.unseen
    columns = {"here": vars(figures)} | ({"CHGNet here": chgnet["unseen"]} if chgnet else {}) | {"paper": PAPER}
    distinct = {(host, one.name): len(one.surrogate_minima or ()) for host, one in vacancies}
    touched = MEASURED_ON + MISSED_BEFORE
    untouched = [one for one in found.per_defect if one.host not in touched and one.hit is not None]
    lines = [
        "# Searches of unseen compositions",
        "",
        f"    {command}",
        "",
        f"{figures.n_defects} defects of {figures.n_compositions} compositions that no model of ours has learnt from"
        + (f"; {figures.n_unfinished} more have no verdict" if figures.n_unfinished else "")
        + f". Surrogate: {found.surrogate}; reference: {found.reference}. "
        + (
            f"It has learnt from vacancies of {len(trained_on)} other hosts ({', '.join(trained_on)}). "
            if trained_on
            else ""
        )
        + "The paper (doi:10.1038/s41524-024-01303-9): 32 defects of 13 compositions, HSE06. Errors of energies and Spearman "
        "are of all frames of these hosts with a defect, a model's card leaves out those far above the lowest.",
        "",
        *markdown_table(
            [
                {"": text} | {column: shown(values.get(key)) for column, values in columns.items()}
                for key, text in NAMES.items()
            ]
        ),
        "",
        *markdown_table([row(one, distinct[one.host, one.defect]) for one in found.per_defect], words=2),
        "",
        "**What a budget buys.** DFT saved is what was chosen here, and the hits are what came of it: of the surrogate's "
        "minima only the lowest are relaxed at the reference level (`minima.most_relaxed: 3`), where the paper relaxes all. "
        "Following fewer, or all:",
        "",
        *markdown_table(
            [
                {
                    "most minima of a defect": budget,
                    "hits": shown(hits),
                    "DFT saved, `Unperturbed` counted": shown(saved),
                }
                for budget, hits, saved in budget_rows([vacancy for _, vacancy in vacancies])
            ],
            words=0,
        ),
        "",
        f"**What a hit is worth.** In {figures.n_defects - figures.n_reconstructing} of the {figures.n_defects} defects "
        f"`Unperturbed` is within {HIT_TOLERANCE} eV of the ground state: a plain relaxation finds it, and no surrogate can "
        "miss it, since `Unperturbed` is always relaxed at the reference level. "
        f"The other {figures.n_reconstructing} reconstruct.",
        "",
        *unstable(stability),
        "**What is unseen.** Settings and training hosts were chosen after earlier models had failed on "
        f"{', '.join(MEASURED_ON)}, and `minima.energy_tolerance` was made after this one had missed "
        f"{', '.join(MISSED_BEFORE)} without it. On the {len(untouched)} other defects: hits "
        f"{shown(hit_rate(one.hit for one in untouched))}, DFT saved "
        f"{shown(mean_of_known(one.dft_saved for one in untouched))}; {sum(one.reconstructs for one in untouched)} of them "
        "reconstruct. Nor is the choice of the model blind to any: errors on frames of all these hosts are what its gate "
        "measured, and what the weight of relative energies was chosen by.",
        "",
        "**What the speed-up is.** The paper's: time of the full reference search over that of the surrogate and of the "
        "reference relaxations of its minima, `Unperturbed` left out. Both levels are charged by their ionic steps, at the "
        "least time that a step of that vacancy took, one thread each; the reference relaxations ran on several machines, "
        "those of the minima on the same as the surrogate, which is relaxed to a mean force of 1e-3 eV/Å, the paper's to 1e-5. "
        "GFN1-xTB is cheap: hybrid DFT takes thousands of times longer, the "
        f"surrogate's share vanishes, and the speed-up is {shown(without_surrogate(found.per_defect))} in total.",
        "",
        *(misses or ["Nothing was missed.", ""]),
    ]
    return "\n".join(lines)


def unstable(stability: Sequence[dict[str, Any]]) -> list[str]:
    """Say which hosts fall without a vacancy."""
    falling = [
        f"{host['host']} by {host['below_host_eV']} eV" for host in stability if host["below_host_eV"] > HIT_TOLERANCE
    ]
    if not falling:
        return []
    return [
        f"**Which hosts are minima.** Rattled and relaxed without a vacancy, these supercells fall: {', '.join(falling)} "
        "([host-stability.md](host-stability.md)). There a vacancy lets the whole crystal fall, and the ground states of both "
        "searches are as much the crystal's as the defect's.",
        "",
    ]


def row(one: SearchedDefect, distinct: int) -> dict[str, str]:
    """Return the row of a defect; ``distinct`` minima were the surrogate's."""
    hit = "–" if one.hit is None else "new ground state" if one.new_ground_state else "yes" if one.hit else "no"
    return {
        "defect": f"{one.host} {one.defect}",
        "hit": hit,
        "above the full search (eV)": shown(one.energy_difference),
        "`Unperturbed` above the ground state (eV)": shown(one.unperturbed_above_ground_state),
        "minima of the surrogate": str(distinct),
        "DFT saved, `Unperturbed` counted": shown(one.dft_saved),
        "speed-up": shown(one.speedup),
        "relative energies below 5 eV, MAE (meV/atom)": shown(one.mae_rel_low_meV_per_atom),
        "Spearman": shown(one.spearman),
    }


def without_surrogate(searched: tuple[SearchedDefect, ...]) -> float | None:
    """Return the ratio of the total times if the surrogate took none."""
    full = sum(one.full_reference_seconds or 0.0 for one in searched)
    minima = sum(one.minima_reference_seconds or 0.0 for one in searched)
    return full / minima if minima else None


def shown(value: float | None) -> str:
    """Return a number with three digits, or a dash."""
    return "–" if value is None else f"{round(value, 3) or 0.0:.3g}"
