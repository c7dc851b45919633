"""What it saves and costs to end relaxations early, told from full runs: in a basin already reached, or too high to matter.

    python benchmarks/relaxation/shortcuts.py

All starts of all vacancies in the bundles are relaxed to the end with every frame kept (runs/relaxation/full, a quarter of
an hour on one core, not done again). Then they are gone through as if they had run in one order or another, or side by side.
Writes runs/relaxation/shortcuts.json.
"""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from starts import HOSTS, LEARNT, MODEL, RUNS, Defect, defects

from defect_surrogate.ideal_sites import rigid_drift
from defect_surrogate.minima import cosine_distance, site_fingerprint
from defect_surrogate.settings import MinimaSettings, SurrogateSettings
from defect_surrogate.surrogates import load_potential, relaxations
from defect_surrogate.surrogates.basins import Basins
from defect_surrogate.surrogates.flight import Run
from defect_surrogate.surrogates.optimisers import NEAR
from defect_surrogate.surrogates.unfinished import Unfinished

logger = logging.getLogger("benchmark")

SAME_ENERGY, SAME_SITE = 2e-3, 1e-4
"""eV, and cosine distance of the sites' fingerprints, above which two ends are two minima: stricter than in a search."""

ORDERS, SEED = 20, 7
"""Orders of the starts, drawn at random."""

WINDOWS = (0.5, 1.0, 1.5, 2.0)
"""eV above the lowest end so far at which a relaxation with small forces would be ended."""

GROUND_STATE = 0.05
"""eV within which an end is the ground state."""


@dataclass(frozen=True, eq=False)
class Full:
    """A relaxation with all its frames: k of shape (n, 3), Å; k energies, eV; k of shape (n, 3), eV/Å."""

    run: Run
    positions: NDArray[np.float64]
    energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    converged: bool

    @property
    def near(self) -> int:
        """First step at which no force is larger than ``NEAR``, eV/Å."""
        return int(np.argmax(np.linalg.norm(self.forces, axis=2).max(axis=1) < NEAR))

    def falls_into(self, basins: Basins, *, begin: int = 0, end: int | None = None) -> int | None:
        """Return the first of some steps, but for the last of all, at which it would be merged."""
        for step in range(begin, len(self.energies) - 1)[: None if end is None else end - begin]:
            if np.linalg.norm(self.forces[step], axis=1).max() < NEAR and basins.around(
                self.run, self.positions[step], self.energies[step], self.forces[step]
            ):
                return step
        return None

    def add_to(self, basins: Basins) -> None:
        """Make its end a basin."""
        if self.converged:
            basins.add(self.run.start, self.positions[-1], self.energies[-1])


Same = Callable[[Full, Full], bool]


def no_basins() -> Basins:
    """Return a beginning."""
    return Basins(lambda _: ())


def full_runs(defect: Defect) -> list[Full]:
    """Relax all starts, or read what was done before."""
    file = RUNS / "full" / f"{defect.name}.npz"
    labels = sorted(defect.starts)
    if not file.exists():
        arrays = {}
        settings = SurrogateSettings(potential=str(MODEL), frame_interval=1)
        starts = [defect.starts[label] for label in labels]
        for index, one in relaxations(starts, load_potential(str(MODEL)), settings=settings):
            arrays[f"{labels[index]}|x"] = np.array([frame.structure.cart_coords for frame in one.frames])
            arrays[f"{labels[index]}|f"] = np.array([frame.forces for frame in one.frames])
            arrays[f"{labels[index]}|e"] = np.array([frame.energy for frame in one.frames])
            arrays[f"{labels[index]}|r"] = np.array([one.steps, one.converged])
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **arrays)
        logger.info("%s: %d starts", defect.name, len(labels))
    with np.load(file) as kept:
        return [
            Full(
                Run(index, defect.starts[label], Unfinished()),
                *(kept[f"{label}|{name}"] for name in "xef"),
                converged=bool(kept[f"{label}|r"][1]),
            )
            for index, label in enumerate(labels)
        ]


def same_minimum(defect: Defect, runs: list[Full]) -> Same:
    """Return what tells whether two relaxations have ended in one minimum."""
    ideal, settings = defect.starts["Unperturbed"], MinimaSettings()
    species, fingerprints = sorted({site.specie.symbol for site in ideal}), []
    for one in runs:
        structure = Structure(ideal.lattice, ideal.species, one.positions[-1], coords_are_cartesian=True)
        site = defect.site + rigid_drift(structure, ideal=ideal)
        fingerprints.append(site_fingerprint(structure, site, settings, species=species))

    def same(first: Full, second: Full) -> bool:
        apart = cosine_distance(fingerprints[first.run.index], fingerprints[second.run.index])
        return bool(abs(first.energies[-1] - second.energies[-1]) <= SAME_ENERGY and apart <= SAME_SITE)

    return same


def pairs(runs: list[Full], same: Same) -> dict[str, int]:
    """Hold each relaxation against the end of each other one, as if a third had ended there, too."""
    found = {"merged": 0, "false": 0}
    for first in runs:
        basins = no_basins()
        first.add_to(basins)
        first.add_to(basins)
        for second in runs:
            if first is not second and second.falls_into(basins) is not None:
                found["merged"] += 1
                found["false"] += not same(first, second)
    return found


def in_turn(runs: Iterable[Full], same: Same) -> dict[str, int]:
    """Run one after the other; it is false to merge one that would have ended where none has ended before it."""
    found, basins, ended = {"merged": 0, "false": 0, "saved": 0}, no_basins(), []
    for one in runs:
        step = one.falls_into(basins)
        if step is None:
            one.add_to(basins)
            ended.append(one)
        else:
            found["merged"] += 1
            found["false"] += not any(same(one, other) for other in ended)
            found["saved"] += len(one.energies) - 1 - step
    return found


def side_by_side(runs: list[Full]) -> int:
    """Count the evaluations saved by merging if they run in one batch."""
    saved, basins, going = 0, no_basins(), list(runs)
    for step in range(max(len(one.energies) for one in runs)):
        for one in list(going):
            if step == len(one.energies) - 1:
                one.add_to(basins)
                going.remove(one)
            elif one.falls_into(basins, begin=step, end=step + 1) is not None:
                saved += len(one.energies) - 1 - step
                going.remove(one)
    return saved


def too_high(runs: list[Full], window: float) -> dict[str, int]:
    """End relaxations, one after the other, that are high when their forces become small; count ground states among them."""
    found, lowest = {"ended": 0, "ground_states": 0, "saved": 0}, np.inf
    ground = min(one.energies[-1] for one in runs)
    for one in runs:
        if one.energies[one.near] > lowest + window:
            found["ended"] += 1
            found["ground_states"] += bool(one.energies[-1] < ground + GROUND_STATE)
            found["saved"] += len(one.energies) - 1 - one.near
        else:
            lowest = min(lowest, one.energies[-1])
    return found


def total(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Add up."""
    counts = list(counts)
    return {name: sum(one[name] for one in counts) for name in counts[0]}


def measured(defect: Defect) -> dict[str, object]:
    """Return what ending relaxations early does to a vacancy."""
    runs, random = full_runs(defect), np.random.default_rng(SEED)
    same = same_minimum(defect, runs)
    orders = [[runs[place] for place in random.permutation(len(runs))] for _ in range(ORDERS)]
    return {
        "defect": defect.name,
        "starts": len(runs),
        "evaluations": sum(len(one.energies) for one in runs),
        "pairs": pairs(runs, same),
        "in_turn": total(in_turn(order, same) for order in orders),
        "saved_side_by_side": side_by_side(runs),
        "falls": [float(one.energies[one.near] - one.energies[-1]) for one in runs],
        "too_high": {str(window): total(too_high(order, window) for order in orders) for window in WINDOWS},
    }


def main() -> None:
    """Measure all vacancies."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("matgl").setLevel(logging.WARNING)
    found = [measured(defect) for defect in defects((*HOSTS, *LEARNT))]
    content = {"orders": ORDERS, "seed": SEED, "defects": found}
    Path(RUNS / "shortcuts.json").write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
