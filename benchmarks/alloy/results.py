"""The page of CdSe(x)Te(1-x): what the sweep of examples/cdsete.yaml found, beside the paper's Supplementary Table 17.

    defect-surrogate sweep examples/cdsete.yaml --out runs/alloy/sweep
    python benchmarks/alloy/lowest.py runs/alloy/sweep
    python benchmarks/alloy/results.py runs/alloy/sweep

writes docs/results/alloy.md and alloy.json, and a picture of each miss.
"""

import json
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "family"))

from explain import explain_miss
from pictures import draw_miss

from defect_surrogate.archive import Archive
from defect_surrogate.budget import followed
from defect_surrogate.distortions import FROM_SURROGATE, is_led
from defect_surrogate.markdown import markdown_table
from defect_surrogate.metrics import HIT_TOLERANCE
from defect_surrogate.reconstruction import NO_BONDS
from defect_surrogate.relaxation import Relaxation
from defect_surrogate.reports.files import read_campaign
from defect_surrogate.reports.schema import HostReport, VacancyReport
from defect_surrogate.settings import MinimaSettings
from defect_surrogate.surrogates import load_potential

LOWEST, MOTIF = "lowest", "lowest of each motif"
ROOT = Path(__file__).parents[2]
END_MEMBERS = ROOT / "runs" / "alloy" / "end-members" / "archive"
PAPER = {"environments": 24, "found or lower": "100 %", "lower": 17, "mean lowering (eV)": -0.4}
"""doi:10.1038/s41524-024-01303-9, main text and Supplementary Table 17: HSE06, six compositions; all minima followed."""


def searched(folder: Path) -> list[tuple[Path, HostReport, VacancyReport]]:
    """Every vacancy of a sweep, with the folder and the host it is of, in the order of alloy.json."""
    names = [one["name"] for one in json.loads((folder / "alloy.json").read_text())["compositions"]]
    found = []
    for name in names:
        place = folder / "compositions" / name
        found += [(place, host, one) for host in read_campaign(place / "campaign.json").hosts for one in host.vacancies]
    return found


def reference_level(folder: Path) -> dict[str, Relaxation]:
    """Every finished reference relaxation of a sweep, by the name of its unit, those of benchmarks/alloy/lowest.py too."""
    return {
        one.name: one.relaxation for one in Archive(folder / "archive").records() if one.name.endswith("/reference")
    }


def labels_followed(vacancy: VacancyReport, budget: int, transferred: int, rule: str) -> list[str]:
    """Labels of the reference relaxations that a budget asks for."""
    minima = vacancy.surrogate_minima or ()
    kinds = [one.kind if rule == MOTIF else str(rank) for rank, one in enumerate(minima)]  # by rank: each of its own
    budgets = MinimaSettings(most_relaxed=budget, most_transferred=transferred)
    return [f"{minimum.label}{FROM_SURROGATE}" for minimum in followed(minima, kinds, budgets)]


def budget_rows(
    vacancies: Sequence[tuple[HostReport, VacancyReport]], relaxations: dict[str, Relaxation], most: int, extra: int
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
            names = [f"{host.name}/{one.name}/{label}/reference" for label in ("Unperturbed", *labels_of(one))]
            done = {name: relaxations[name] for name in names if name in relaxations}
            missing += len(names) - len(done)
            lowest = min(r.energy for r in done.values() if r.rankable)
            differences.append(lowest - one.full_reference_minima[0].energy)
            minima = sum(r.provenance.seconds for name, r in done.items() if name != names[0])
            surrogate = sum(r.seconds or 0.0 for r in one.relaxations if r.level == "surrogate")
            speedups.append(one.comparison.full_reference_seconds / (minima + surrogate))
            relaxed += len(names)
        lower = [one for one in differences if one < -HIT_TOLERANCE]
        found = f"{sum(one <= HIT_TOLERANCE for one in differences)} of {len(differences)}"
        rows.append(
            {
                "first": rule,
                "minima followed": budget,
                "found or lower": f"{missing} not relaxed" if missing else found,
                "lower": "–" if missing else str(len(lower)),
                "mean lowering (eV)": f"{statistics.fmean(lower):.2f}" if lower and not missing else "–",
                "largest miss (eV)": "–" if missing else f"{max(0.0, *differences):.2f}",
                "DFT saved": f"{1 - relaxed / sum(one.sampling_structures for _, one in vacancies):.0%}",
                "speed-up, median": "–" if missing else f"{statistics.median(speedups):.2f}",
            }
        )
    return rows


def _lowering(row: dict) -> str:
    """Energy lowering, marked where ``Unperturbed`` itself reconstructs."""
    if row["energy_lowering"] is None:
        return "–"
    return f"{row['energy_lowering']:.2f}" + (
        "" if row["unperturbed_bonds"] == NO_BONDS else " (Unperturbed reconstructs)"
    )


def _as_run(vacancy: VacancyReport) -> list[str]:
    return [one.label for one in vacancy.relaxations if one.level == "reference" and is_led(one.label)]


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


def training_cost() -> tuple[int, float]:
    """Count the reference calculations that the surrogate has learnt from, and their seconds."""
    seconds = [one.relaxation.provenance.seconds for one in Archive(END_MEMBERS).records()]
    return len(seconds), sum(seconds)


def main() -> None:
    """Write the page."""
    folder = Path(sys.argv[1])
    report = json.loads((folder / "alloy.json").read_text())
    settings = yaml.safe_load((folder / "settings.yaml").read_text())
    every = searched(folder)
    compared = [
        (host, one) for _, host, one in every if one.comparison is not None and one.comparison.speedup is not None
    ]
    if not compared:
        raise SystemExit(f"{folder}: no vacancy has been searched at both levels yet")
    done = [one for _, one in compared]
    rows = [row for row in report["rows"] if row["speedup"] is not None]
    misses = [(place, host, one) for place, host, one in every if one.comparison and one.comparison.hit is False]
    potential = load_potential(str(ROOT / "models" / "gfn1-cdsete"))
    results = ROOT / "docs" / "results"
    explained = []
    for place, host, one in misses:
        picture = results / f"alloy-{host.name}-{one.name}.svg"
        draw_miss(place, host.name, one, picture)
        explained += [explain_miss(place, host, one, potential), "", f"![{host.name} {one.name}]({picture.name})", ""]
    hetero = [row for row in rows if row["bond_counts"].get("Se–Te")]
    kinds = Counter(row["bonds"] for row in rows)
    gains = [row["transfer_gain"] for row in rows if row["transfer_gain"] is not None]
    error, minima = ranking(done)
    lower = [row["energy_difference"] for row in rows if row["lower"]]
    figures = {
        "mean_lowering_eV": statistics.fmean(lower) if lower else None,
        "dft_saved": statistics.fmean(row["dft_saved"] for row in rows),
        "speedup_median": statistics.median(row["speedup"] for row in rows),
    }
    budgets = budget_rows(
        compared,
        reference_level(folder),
        settings["minima"]["most_relaxed"],
        settings["minima"]["most_transferred"],
    )
    (alone,) = (
        one
        for one in budgets
        if one["first"] == MOTIF and one["minima followed"] == str(settings["minima"]["most_relaxed"])
    )
    shown = ("found or lower", "lower", "mean lowering (eV)", "DFT saved", "speed-up, median")
    headline = [
        {"": "here", "environments": str(len(rows))} | {name: budgets[-1][name] for name in shown},
        {"": "here, nothing transferred", "environments": str(len(rows))} | {name: alone[name] for name in shown},
        {"": "paper"}
        | {name: str(value) for name, value in PAPER.items()}
        | {"DFT saved": "–", "speed-up, median": "–"},
    ]
    learnt, seconds = training_cost()
    spared = sum(
        one.comparison.full_reference_seconds - one.comparison.minima_reference_seconds - one.surrogate_seconds
        for one in done
    )
    table = [
        {
            "x": f"{row['x']:.3f}",
            "vacancy": f"{row['host']}/{row['vacancy']}",
            "sites": str(row["sites"]),
            "minima, coarse DFT search": str(row["coarse_minima"]),
            "minima, surrogate": str(row["surrogate_minima"]),
            "minima, surrogate + DFT": str(row["minima"]),
            "E − E(coarse) (eV)": f"{row['energy_difference']:+.3f}",
            "reconstruction": f"{row['coarse_bonds']} → {row['bonds']}",
            "energy lowering (eV)": _lowering(row),
            "by transfer (eV)": "–" if row["transfer_gain"] is None else f"{row['transfer_gain']:.2f}",
            "speed-up": f"{row['speedup']:.2f}",
        }
        for row in rows
    ]
    unfinished = len(report["rows"]) - len(rows)
    lines = [
        "# Every inequivalent vacancy of CdSe(x)Te(1-x)",
        "",
        "    defect-surrogate sweep examples/cdsete.yaml --out runs/alloy/sweep",
        "    python benchmarks/alloy/lowest.py runs/alloy/sweep",
        "    python benchmarks/alloy/results.py runs/alloy/sweep",
        "",
        f"Surrogate: {report['surrogate']}; reference: {report['reference']}. **The reference is a stand-in for DFT**, and "
        "Γ only: figures beside the paper's say how the search does, not what the alloy is. Seed "
        f"{settings['alloy']['seed']}; one random supercell of 64 atoms for each composition; surrogate relaxed to "
        f"{settings['surrogate']['force_tolerance']:g} eV/Å; of each vacancy {settings['minima']['most_relaxed']} surrogate "
        f"minima, the lowest of each motif first, {settings['minima']['most_transferred']} that only transferred starts led "
        "to, "
        f"{settings['transfer']['reference_minima']} that is the lowest of another environment at the reference level, if its "
        "motif had not been found, and `Unperturbed` relaxed at the reference level, and the coarse set of 14 to compare with. "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + ".",
        "",
        *(
            [f"**Not finished:** {unfinished} of {len(report['rows'])} vacancies have no complete comparison yet.", ""]
            if unfinished
            else []
        ),
        *markdown_table(headline),
        "",
        f"*Found or lower*: at most {HIT_TOLERANCE} eV above the ground state of the coarse search; *lower*: by more "
        "than that. DFT saved counts `Unperturbed`, against the 14 of the coarse set; times are wall times of single-threaded "
        "processes, without `Unperturbed`. The paper follows all minima; transfer, and the order of a budget, are "
        "ours, and the order was chosen when the first composition had been searched. A minimum that own starts lead to is "
        "represented by the lowest that ended there, which may be a transferred one.",
        "",
        f"What the surrogate has learnt from is not in these figures: {learnt} calculations, {seconds / 3600:.1f} h. "
        f"The vacancies here spared {spared / 3600:.1f} h, {spared / len(done) / 60:.1f} min each: it is paid for after "
        f"{seconds / (spared / len(done)):.0f} environments.",
        "",
        *markdown_table(table),
        "",
        "No new bonds is T_d in the paper's table. By transfer: how much lower the minima of other environments led than "
        "other starts that were followed. The surrogate's minima are many because its force field has many shallow ones: most "
        "starts end in one of their own, told apart at the default threshold; the paper gives none.",
        "",
        "## Hetero-bonds",
        "",
        f"Se–Te bonds are in no structure that the surrogate was trained on. The ground states of {len(hetero)} of {len(rows)} "
        "vacancies have one, confirmed at the reference level. Ground states by their new bonds: "
        + ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common())
        + ".",
        "",
        "## Transfer of minima",
        "",
        f"Offered to {len(gains)} vacancies, minima of other environments led lower than the other starts that were "
        f"followed, by more than {HIT_TOLERANCE} eV, in {sum(gain < -HIT_TOLERANCE for gain in gains)}.",
        "",
        "## Budgets",
        "",
        *markdown_table(budgets),
        "",
        f"Energy differences between the minima followed of a vacancy, {minima} pairs, are off by {error:.2f} eV on average.",
        "",
        "## Misses",
        "",
        *(explained or ["None.", ""]),
    ]
    (results / "alloy.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    kept = {key: report[key] for key in ("surrogate", "reference", "versions")}
    content = (kept | figures) | {
        "command": "defect-surrogate sweep examples/cdsete.yaml --out runs/alloy/sweep",
        "n_environments": len(rows),
        "found_or_lower": sum(row["found_or_lower"] for row in rows),
        "lower": sum(row["lower"] for row in rows),
        "hetero_bonds_in_ground_states": len(hetero),
        "rows": rows,
    }
    (results / "alloy.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
