"""Relax all starts each way, one after the other on a quiet machine; what is done is kept and not done again.

    python benchmarks/relaxation/cpu.py

Writes runs/relaxation/cpu/<way>/<defect>.json: of each start the end, the wall time and the evaluations; of ours, which two
processes relax side by side from one queue, the wall time of the whole defect. The ways take turns at each defect.
"""

import json
import logging
import sys
import time
from pathlib import Path

import torch
from methods import SERIAL, SETTINGS, Result, ours, stock_model, timed, workers
from starts import RUNS, Defect, defects

logger = logging.getLogger("benchmark")

CPU = RUNS / "cpu"
SAMPLES = {"ASE FIRE": 15, "ASE L-BFGS": 3, "matgl Relaxer (FIRE)": 2}
"""Starts of each defect that a way is timed on; all for what the others are held against."""

PROCESSES = 2
OURS = "defect-surrogate"
OURS_FIRE = "defect-surrogate, FIRE alone"


def entry(result: Result, seconds: float) -> dict[str, object]:
    """Return what is kept of a relaxation."""
    return {
        "energy": result.energy,
        "evaluations": result.evaluations,
        "converged": result.converged,
        "seconds": seconds,
        "atoms": len(result.structure),
        "structure": result.structure.as_dict(),
    }


def file(way: str, defect: Defect) -> Path:
    """Where the relaxations of a defect are kept."""
    return CPU / way / f"{defect.name}.json"


def write(path: Path, content: object) -> None:
    """Write at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".part").write_text(json.dumps(content))
    path.with_suffix(".part").rename(path)


def run_serial(way: str, defect: Defect) -> None:
    """Relax starts one after the other in this process."""
    path = file(way, defect)
    stock_model()
    done = json.loads(path.read_text())["relaxations"] if path.exists() else {}
    for label in sorted(defect.starts)[:: -(-len(defect.starts) // SAMPLES[way])]:
        if label not in done:
            done[label] = entry(*timed(SERIAL[way], defect.starts[label]))
            write(path, {"threads": torch.get_num_threads(), "relaxations": done})
            logger.info("%s %s %s: %.1f s", way, defect.name, label, done[label]["seconds"])


def run_ours(way: str, defect: Defect, *, optimiser: str) -> None:
    """Relax all starts by two processes, as a search does."""
    path = file(way, defect)
    if path.exists():
        return
    settings = SETTINGS.model_copy(update={"optimiser": optimiser})
    labels = sorted(defect.starts)
    with workers(PROCESSES) as client:
        began = time.perf_counter()
        futures = [client.submit(timed_ours, defect.starts[label], settings, pure=False) for label in labels]
        ended = client.gather(futures)
        wall = time.perf_counter() - began
    relaxations = {label: entry(*one) for label, one in zip(labels, ended, strict=True)}
    write(path, {"processes": PROCESSES, "wall": wall, "relaxations": relaxations})
    logger.info("%s %s: %.1f s for %d starts", way, defect.name, wall, len(labels))


def timed_ours(start, settings):
    """Relax as a worker does."""
    return timed(lambda one: ours(one, settings), start)


def main() -> None:
    """Everything that is missing; with an argument the peers alone, or ours alone."""
    only = sys.argv[1] if len(sys.argv) > 1 else None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("matgl").setLevel(logging.WARNING)
    for defect in defects():
        for way in SERIAL if only != "ours" else ():
            run_serial(way, defect)
        if only != "peers":
            run_ours(OURS, defect, optimiser="FIRE, then L-BFGS")
            run_ours(OURS_FIRE, defect, optimiser="FIRE")


if __name__ == "__main__":
    main()
