"""What budgets of reference relaxations buy, by the order in which they are spent, of a sweep that was compared."""

import json
import statistics
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from pymatgen.core import Structure

from defect_surrogate.archive import Archive
from defect_surrogate.budget import followed
from defect_surrogate.distortions import FROM_SURROGATE, UNPERTURBED, is_led
from defect_surrogate.metrics import HIT_TOLERANCE
from defect_surrogate.relaxation import Relaxation, structure_digest
from defect_surrogate.reports.files import read_campaign
from defect_surrogate.reports.schema import HostReport, VacancyReport
from defect_surrogate.settings import MinimaSettings

LOWEST, MOTIF = "lowest", "lowest of each motif"


def searched(folder: Path) -> list[tuple[Path, HostReport, VacancyReport]]:
    """Every vacancy of a sweep, with the folder and the host it is of, in the order of alloy.json."""
    names = [one["name"] for one in json.loads((folder / "alloy.json").read_text())["compositions"]]
    found = []
    for name in names:
        place = folder / "compositions" / name
        found += [(place, host, one) for host in read_campaign(place / "campaign.json").hosts for one in host.vacancies]
    return found


class Relaxations:
    """What the archive of a sweep has, found by name and by what a unit started from: starts of one name may have changed."""

    def __init__(self, folder: Path) -> None:
        records = list(Archive(folder / "archive").records())
        self._by_key = {(one.name, one.key): one.relaxation for one in records}
        self._by_start = {(one.name, structure_digest(one.start)): one.relaxation for one in records}

    def start(self, host: HostReport, vacancy: VacancyReport, label: str) -> Structure:
        """Structure at which the surrogate's relaxation of a start ended."""
        (key,) = (one.key for one in vacancy.relaxations if (one.level, one.label) == ("surrogate", label))
        return self._by_key[f"{host.name}/{vacancy.name}/{label}/surrogate", key].structure

    def reference(self, host: HostReport, vacancy: VacancyReport, label: str) -> Relaxation | None:
        """Relaxation at the reference level, of the sweep or of benchmarks/alloy/lowest.py."""
        name = f"{host.name}/{vacancy.name}/{label}/reference"
        for one in vacancy.relaxations:
            if (one.level, one.label) == ("reference", label):
                return self._by_key[name, one.key]
        if not label.endswith(FROM_SURROGATE):
            return None
        start = self.start(host, vacancy, label.removesuffix(FROM_SURROGATE))
        return self._by_start.get((name, structure_digest(start)))


def labels_followed(vacancy: VacancyReport, budget: int, transferred: int, rule: str) -> list[str]:
    """Labels of the reference relaxations that a budget asks for."""
    minima = vacancy.surrogate_minima or ()
    kinds = [one.kind if rule == MOTIF else str(rank) for rank, one in enumerate(minima)]  # by rank: each of its own
    budgets = MinimaSettings(most_relaxed=budget, most_transferred=transferred)
    return [f"{minimum.label}{FROM_SURROGATE}" for minimum in followed(minima, kinds, budgets)]


def budget_rows(
    vacancies: Sequence[tuple[HostReport, VacancyReport]], relaxations: Relaxations, most: int, extra: int
) -> list[dict[str, str]]:
    """Say what budgets find; the last row is the sweep as it was run."""
    plans = [
        (
            rule,
            f"{n}" + (f" + {k} transferred" if k else ""),
            lambda one, n=n, k=k, rule=rule: labels_followed(one, n, k, rule),
        )
        for rule in (LOWEST, MOTIF)
        for n in range(1, most + 1)
        for k in sorted({0, extra})
    ]
    plans.append((MOTIF, f"{most} + {extra} transferred, + reference minima", _as_run))
    rows = []
    for rule, budget, labels_of in plans:
        differences, speedups, relaxed, missing = [], [], 0, 0
        for host, one in vacancies:
            labels = [UNPERTURBED, *labels_of(one)]
            found = {label: relaxations.reference(host, one, label) for label in labels}
            done = {label: relaxation for label, relaxation in found.items() if relaxation is not None}
            missing += len(set(labels) - done.keys() - set(_broke(one)))
            lowest = min(r.energy for r in done.values() if r.rankable)
            differences.append(lowest - one.full_reference_minima[0].energy)
            minima = sum(r.provenance.seconds for label, r in done.items() if label != UNPERTURBED)
            surrogate = sum(r.seconds or 0.0 for r in one.relaxations if r.level == "surrogate")
            if done.keys() >= set(labels):
                speedups.append(one.comparison.full_reference_seconds / (minima + surrogate))
            relaxed += len(labels)
        lower = [one for one in differences if one < -HIT_TOLERANCE]
        reached = f"{sum(one <= HIT_TOLERANCE for one in differences)} of {len(differences)}"
        rows.append(
            {
                "first": rule,
                "minima followed": budget,
                "found or lower": f"{missing} not relaxed" if missing else reached,
                "lower": "–" if missing else str(len(lower)),
                "mean lowering (eV)": f"{statistics.fmean(lower):.2f}" if lower and not missing else "–",
                "largest miss (eV)": "–" if missing else f"{max(0.0, *differences):.2f}",
                "DFT saved": f"{1 - relaxed / sum(one.sampling_structures for _, one in vacancies):.0%}",
                "speed-up, median": "–" if missing else f"{statistics.median(speedups):.2f}",
            }
        )
    return rows


def _as_run(vacancy: VacancyReport) -> list[str]:
    relaxed = [one.label for one in vacancy.relaxations if one.level == "reference" and is_led(one.label)]
    return relaxed + _broke(vacancy)


def _broke(vacancy: VacancyReport) -> list[str]:
    """Labels of what was relaxed at the reference level, and came to nothing."""
    parts = [failure.unit.split("/") for failure in vacancy.failures]
    return [label for *_, label, level in parts if level == "reference"]


def ranking(vacancies: Sequence[VacancyReport]) -> tuple[float, int]:
    """Mean absolute error (eV) of energy differences between minima followed, of all pairs of a vacancy; and how many."""
    errors = []
    for one in vacancies:
        energies = {(r.level, r.label): r.energy for r in one.relaxations if r.energy is not None}
        both = [
            (energies["surrogate", label.removesuffix(FROM_SURROGATE)], energies["reference", label])
            for level, label in energies
            if level == "reference" and label.endswith(FROM_SURROGATE)
        ]
        errors += [abs((a[0] - b[0]) - (a[1] - b[1])) for a, b in combinations(both, 2)]
    return statistics.fmean(errors), len(errors)
