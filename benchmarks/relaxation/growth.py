"""Time and memory against the length of the queue and the size of the cell, each point in a process of its own.

    python benchmarks/relaxation/growth.py

Two steps of every structure, one thread, one structure at a time as on a CPU by default; results go as a search takes them, one
by one. Cells are rattled CdTe with one vacancy. Writes runs/relaxation/growth.json.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from ase.build import bulk
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from starts import MODEL, RUNS

from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates import load_potential, relaxations

QUEUE = (1, 10, 100, 500, 2000)
CELLS = {32: (2, 2, 1), 64: (2, 2, 2), 128: (4, 2, 2), 256: (4, 4, 2), 512: (4, 4, 4)}
STEPS = 2
SEED = 7


def queue(count: int, atoms: int) -> Iterator[Structure]:
    """Yield structures made as they are asked for."""
    random = np.random.default_rng(SEED)
    for _ in range(count):
        cell = bulk("CdTe", "zincblende", a=6.66, cubic=True).repeat(CELLS[atoms])
        del cell[0]
        cell.positions += random.normal(0, 0.1, cell.positions.shape)
        yield AseAtomsAdaptor.get_structure(cell)


def point(count: int, atoms: int) -> dict[str, float]:
    """Relax for two steps; the first structure warms up and is not timed."""
    potential = load_potential(str(MODEL))
    settings = SurrogateSettings(max_steps=STEPS)
    list(relaxations(queue(1, atoms), potential, settings=settings))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    began, evaluations = time.perf_counter(), 0
    for _, ended in relaxations(queue(count, atoms), potential, settings=settings):
        evaluations += ended.provenance.evaluations
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "structures": count,
        "atoms": atoms - 1,
        "seconds_per_evaluation": seconds / evaluations,
        "peak_bytes": peak,
        "grown_bytes": peak - before,
    }


def main() -> None:
    """All points."""
    if len(sys.argv) > 1:
        print(json.dumps(point(*map(int, sys.argv[1:]))))
        return
    points = [(count, 64) for count in QUEUE] + [(4, atoms) for atoms in CELLS]
    found = []
    for count, atoms in points:
        command = [sys.executable, __file__, str(count), str(atoms)]
        found.append(
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        )
        print(found[-1], flush=True)
    (RUNS / "growth.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
