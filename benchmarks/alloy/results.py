"""The page of CdSe(x)Te(1-x): what the sweep of examples/cdsete.yaml found, beside the paper's Supplementary Table 17.

    defect-surrogate sweep examples/cdsete.yaml --out runs/alloy/sweep
    python benchmarks/alloy/lowest.py runs/alloy/sweep
    defect-surrogate sweep examples/cdznte.yaml --out runs/alloy/cdznte
    python benchmarks/alloy/results.py runs/alloy/sweep runs/alloy/cdznte

writes docs/results/alloy.md and alloy.json, and a picture of each miss; the second alloy is described at the end.
"""

import json
import statistics
import sys
from collections import Counter
from pathlib import Path

import yaml
from pydantic import TypeAdapter

sys.path.insert(0, str(Path(__file__).parents[1] / "family"))

from explain import explain_miss
from pictures import draw_miss
from rules import MOTIF, Relaxations, budget_rows, ranking, searched

from defect_surrogate.archive import Archive
from defect_surrogate.errors import ReferenceDivergedError
from defect_surrogate.markdown import markdown_table
from defect_surrogate.metrics import HIT_TOLERANCE
from defect_surrogate.reconstruction import NO_BONDS
from defect_surrogate.reports.alloy_page import alloy_rows, alloy_statements
from defect_surrogate.reports.alloy_schema import AlloyReport
from defect_surrogate.surrogates import load_potential

ROOT = Path(__file__).parents[2]
END_MEMBERS = ROOT / "runs" / "alloy" / "end-members" / "archive"
PAPER = {"environments": 24, "found or lower": "100 %", "lower": 17, "mean lowering (eV)": -0.4}
"""doi:10.1038/s41524-024-01303-9, main text and Supplementary Table 17: HSE06, six compositions; all minima followed."""


def _lowering(row: dict) -> str:
    """Energy lowering, marked where ``Unperturbed`` itself reconstructs."""
    if row["energy_lowering"] is None:
        return "–"
    return f"{row['energy_lowering']:.2f}" + (
        "" if row["unperturbed_bonds"] == NO_BONDS else " (Unperturbed reconstructs)"
    )


def training_cost() -> tuple[int, float]:
    """Count the reference calculations that the surrogate has learnt from, and their seconds."""
    seconds = [one.relaxation.provenance.seconds for one in Archive(END_MEMBERS).records()]
    return len(seconds), sum(seconds)


def main() -> None:
    """Write the page."""
    folder = Path(sys.argv[1])
    second = TypeAdapter(AlloyReport).validate_json((Path(sys.argv[2]) / "alloy.json").read_bytes())
    report = json.loads((folder / "alloy.json").read_text())
    settings = yaml.safe_load((folder / "settings.yaml").read_text())
    every = searched(folder)
    compared = [(host, one) for _, host, one in every if one.comparison is not None and one.comparison.hit is not None]
    diverged = [f for _, one in compared for f in one.failures if f.error == ReferenceDivergedError.__name__]
    if not compared:
        raise SystemExit(f"{folder}: no vacancy has been searched at both levels yet")
    done = [one for _, one in compared]
    rows = [row for row in report["rows"] if row["found_or_lower"] is not None]
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
        "speedup_median": statistics.median(row["speedup"] for row in rows if row["speedup"] is not None),
    }
    budgets = budget_rows(
        compared,
        Relaxations(folder),
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
            "speed-up": "–" if row["speedup"] is None else f"{row['speedup']:.2f}",
        }
        for row in rows
    ]
    unfinished = len(report["rows"]) - len(rows)
    alone = json.loads((Path(__file__).parent / "throughput.json").read_text(encoding="utf-8"))
    lines = [
        "# Every inequivalent vacancy of CdSe(x)Te(1-x)",
        "",
        "    defect-surrogate sweep examples/cdsete.yaml --out runs/alloy/sweep",
        "    python benchmarks/alloy/lowest.py runs/alloy/sweep",
        "    defect-surrogate sweep examples/cdznte.yaml --out runs/alloy/cdznte",
        "    python benchmarks/alloy/results.py runs/alloy/sweep runs/alloy/cdznte",
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
        "processes, without `Unperturbed`. A relaxation that broke counts as one, and has no time. "
        "The paper follows all minima; transfer, and the order of a budget, are "
        "ours. They were chosen on these vacancies: the order when the first composition had been searched, the budget when "
        "all had been with 3; below is what others would have found. A minimum that own starts lead to is "
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
        *(f"`{one.unit}` broke ({one.error}): its energy fell without a bound.\n" for one in diverged),
        "## The surrogate alone",
        "",
        f"Eight compositions, five supercells of each, a vacancy in each of their {alone['environments']} environments: "
        f"{alone['relaxations']} relaxations on {alone['cores']} cores, {alone['wall_seconds_per_environment']:.0f} s an "
        f"environment ({alone['core_seconds_per_environment']:.0f} s of a core), {alone['relaxations_per_hour']:.0f} "
        f"relaxations an hour, at most {alone['peak_memory_GB']:.1f} GB of memory; killed with -9 and gone on with, "
        f"{alone['relaxed_twice']} relaxed twice "
        "([benchmarks/alloy/throughput.md](../../benchmarks/alloy/throughput.md)).",
        "",
        "## A second alloy",
        "",
        "Of another kind, cations that mix, from its own settings, examples/cdznte.yaml: a special quasirandom structure whose "
        "cell is relaxed with the surrogate, and sites told apart by their fingerprints, since all cations have four Te around "
        "them. No full search at the reference level was run.",
        "",
        *(f"- {sentence}" for sentence in alloy_statements(second)),
        "",
        *markdown_table(alloy_rows(second)),
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
