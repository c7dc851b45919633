"""From what cpu.py, gpu.py and growth.py measured to results.md and results.json.

    python benchmarks/relaxation/page.py

Minima are compared as a search does it: relaxations of two ways are put together and told apart by the fingerprint of the
vacant site and the energy (``find_minima``). A basin is missed if only ASE's FIRE reached it and no start that did ended lower.
"""

import json
import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bound import best_seconds, bytes_moved, copy_rate, flops, matrix_rate
from cpu import CPU, OURS, OURS_FIRE, SAMPLES
from gpu import batch_of
from methods import SETTINGS
from pymatgen.core import Structure
from starts import MODEL, RUNS, Defect, defects

from defect_surrogate.markdown import markdown_table
from defect_surrogate.minima import find_minima
from defect_surrogate.relaxation import Provenance, Relaxation
from defect_surrogate.settings import MinimaSettings
from defect_surrogate.surrogates import load_potential

HERE = Path(__file__).parent
FIRE = "ASE FIRE"
SAME = 0.01
"""eV within which two ends of one start are the same."""


def kept(way: str, defect: Defect) -> dict[str, Any] | None:
    """Return what a way made of a defect, if it is done with all its starts."""
    path = CPU / way / f"{defect.name}.json"
    found = json.loads(path.read_text()) if path.exists() else None
    wanted = SAMPLES.get(way, len(defect.starts))
    return found if found and len(found["relaxations"]) >= wanted else None


def relaxation(entry: dict[str, Any]) -> Relaxation:
    """Return an entry as a relaxation, for ``find_minima``."""
    return Relaxation(
        level="surrogate",
        structure=Structure.from_dict(entry["structure"]),
        energy=entry["energy"],
        steps=entry["evaluations"] - 1,
        converged=entry["converged"],
        reason="converged" if entry["converged"] else "step limit",
        detail="",
        provenance=Provenance("", "", math.nan, entry["evaluations"], ()),
    )


def compare(defect: Defect, ours: dict[str, Any], fire: dict[str, Any]) -> dict[str, Any]:
    """Compare the minima of two ways."""
    entries = {f"{name}/{label}": e for name, way in (("ours", ours), ("fire", fire)) for label, e in way.items()}
    ideal = defect.starts["Unperturbed"]
    minima = find_minima({k: relaxation(e) for k, e in entries.items()}, defect.site, MinimaSettings(), ideal=ideal)
    ends: dict[str, int] = {label: i for i, one in enumerate(minima) for label in one.labels}
    missed = []
    for one in minima:
        if all(label.startswith("fire/") for label in one.labels):
            starts = [label.removeprefix("fire/") for label in one.labels]
            if any(ours[s]["energy"] > fire[s]["energy"] - SAME for s in starts):
                missed.append({"energy": one.relaxation.energy - minima[0].relaxation.energy, "starts": starts})
    other = [label for label in ours if ends[f"ours/{label}"] != ends[f"fire/{label}"]]
    return {
        "minima_fire": len({ends[f"fire/{label}"] for label in fire}),
        "minima_ours": len({ends[f"ours/{label}"] for label in ours}),
        "missed": missed,
        "elsewhere": {label: ours[label]["energy"] - fire[label]["energy"] for label in other},
        "ground_state_difference": min(e["energy"] for e in ours.values()) - min(e["energy"] for e in fire.values()),
    }


def per_atom(entries: dict[str, Any], seconds: float) -> float:
    """Return microseconds for an evaluation of an atom."""
    return 1e6 * seconds / sum(e["evaluations"] * e["atoms"] for e in entries.values())


def cpu_rows() -> list[dict[str, Any]]:
    """Return one row for each defect that all starts were relaxed of by ASE's FIRE and by us."""
    rows = []
    for defect in defects():
        fire, ours = kept(FIRE, defect), kept(OURS, defect)
        if fire is None or ours is None:
            continue
        labels = sorted(fire["relaxations"])
        row = {"defect": defect.name, "starts": len(labels), "atoms": len(defect.starts["Unperturbed"])}
        row |= compare(defect, ours["relaxations"], fire["relaxations"])
        seconds = sum(e["seconds"] for e in fire["relaxations"].values())
        row |= {"fire_seconds": seconds, "seconds": ours["wall"], "ratio": seconds / ours["wall"]}
        for name, way in (("fire", fire), ("ours", ours)):
            entries = way["relaxations"]
            row[f"evaluations_{name}"] = sum(e["evaluations"] for e in entries.values())
            row[f"unconverged_{name}"] = sum(not e["converged"] for e in entries.values())
        row["us_fire"] = per_atom(fire["relaxations"], seconds)
        row["us_ours"] = per_atom(ours["relaxations"], ours["wall"])
        if (alone := kept(OURS_FIRE, defect)) is not None:
            row["ratio_fire_alone"] = seconds / alone["wall"]
        for way in SAMPLES:
            if way != FIRE and (other := kept(way, defect)) is not None:
                part = {label: fire["relaxations"][label] for label in other["relaxations"]}
                took = [sum(e["seconds"] for e in of.values()) for of in (part, other["relaxations"])]
                row[f"ratio of {way}"] = took[0] / took[1]
        rows.append(row)
    return rows


def cpu_bound() -> dict[str, float]:
    """Return what one core allows for an evaluation, and what it takes."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    potential = load_potential(str(MODEL))
    starts = [defect.starts["Unperturbed"] for defect in defects()]
    batch = batch_of(starts[:1], device)

    def evaluate() -> object:
        return potential.force_field.evaluate(batch)

    found = {"matrix_flops_per_second": matrix_rate(device), "copy_bytes_per_second": copy_rate(device)}
    found |= {"flops": flops(evaluate), "bytes": bytes_moved(evaluate), "seconds": best_seconds(evaluate, device)}
    return found | {"fraction": found["flops"] / found["matrix_flops_per_second"] / found["seconds"]}


def number(value: float, digits: int = 3) -> str:
    """Return a number with some digits."""
    return f"{value:.{digits}g}"


def main() -> None:
    """Write both files."""
    rows, bound = cpu_rows(), cpu_bound()
    growth = json.loads((RUNS / "growth.json").read_text())
    gpu_file = HERE / "gpu.json"
    gpu = json.loads(gpu_file.read_text()) if gpu_file.exists() else None
    ratios = [row["ratio"] for row in rows]
    content: dict[str, Any] = {
        "cpu": {
            "ratio_vs_ase_fire": {"worst": min(ratios), "median": float(np.median(ratios))},
            "same_minima": not any(row["missed"] for row in rows),
            "bound_fraction": bound["fraction"],
            "bound": bound,
            "defects": rows,
            "growth": growth,
        },
        "gpu": gpu,
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} cores used",
        "versions": {name: version(name) for name in ("torch", "matgl", "ase", "pymatgen", "numpy")},
        "criterion": SETTINGS.model_dump(include={"force_criterion", "force_tolerance", "max_steps"}),
    }
    (HERE / "results.json").write_text(json.dumps(content, indent=1) + "\n")
    (HERE / "results.md").write_text("\n".join(page(content)) + "\n")


def page(content: dict[str, Any]) -> list[str]:
    """Return the lines of results.md."""
    cpu, gpu = content["cpu"], content["gpu"]
    table = [
        {
            "defect": row["defect"],
            "atoms": str(row["atoms"]),
            "ASE FIRE, s": number(row["fire_seconds"]),
            "ours, s": number(row["seconds"]),
            "ratio": number(row["ratio"]),
            "FIRE alone": number(row.get("ratio_fire_alone", math.nan)),
            "evaluations": f"{row['evaluations_fire']} → {row['evaluations_ours']}",
            "µs per atom-evaluation": f"{number(row['us_fire'])} → {number(row['us_ours'])}",
            "minima": f"{row['minima_fire']} → {row['minima_ours']}",
            "missed": str(len(row["missed"])),
            "starts that end elsewhere": str(len(row["elsewhere"])),
            "ground state, eV": f"{row['ground_state_difference']:+.3f}",
        }
        for row in cpu["defects"]
    ]
    return [*(HERE / "results.head.md").read_text().splitlines(), *markdown_table(table), str(gpu is None)]


if __name__ == "__main__":
    main()
