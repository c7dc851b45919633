"""What the ways of cpu.py made of the defects, side by side: minima, wall time, evaluations, and what one core allows.

Minima are compared as a search does it: relaxations of two ways are put together and told apart by the fingerprint of the
vacant site and the energy (``find_minima``). A basin is missed if only ASE's FIRE reached it, from a start that ended no
lower by
the other way.
"""

import json
import math
from typing import Any

import torch
from bound import best_seconds, bytes_moved, copy_rate, flops, matrix_rate
from cpu import CPU, OURS, OURS_FIRE, SAMPLES
from gpu import batch_of
from pymatgen.core import Structure
from starts import MODEL, Defect, defects

from defect_surrogate.minima import find_minima
from defect_surrogate.relaxation import Provenance, Relaxation
from defect_surrogate.settings import MinimaSettings
from defect_surrogate.surrogates import load_potential

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
            row["fire_alone"] = compare(defect, alone["relaxations"], fire["relaxations"])
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
