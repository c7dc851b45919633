"""What the budget of the sweep buys if it is spent on the lowest surrogate minima, whatever their motifs.

    python benchmarks/alloy/lowest.py runs/alloy/sweep

relaxes at the reference level what that rule asks for and the sweep has not relaxed, into the archive of the sweep;
benchmarks/alloy/results.py then compares the two rules. Resumable.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rules import LOWEST, Relaxations, labels_followed, searched

from defect_surrogate.distortions import FROM_SURROGATE
from defect_surrogate.relaxation import Unit
from defect_surrogate.vasp import ReferenceMethod, reference_method
from flows.sweep_folder import open_sweep
from tasks.reference import relax_reference_unit


def relax(unit: Unit, method: ReferenceMethod, archive: Path) -> None:
    """Relax a unit, unless the archive has it."""
    relax_reference_unit.fn(unit, method, archive)


def main() -> None:
    """Relax what is missing, as many at once as the sweep did."""
    sweep = open_sweep(Path(sys.argv[1]))
    settings, archive = sweep.settings, sweep.archive
    relaxed = Relaxations(sweep.path)
    with ProcessPoolExecutor(settings.workers.reference) as pool:
        running = []
        for _, host, vacancy in searched(sweep.path):
            budgets = settings.minima
            for label in labels_followed(vacancy, budgets.most_relaxed, budgets.most_transferred, LOWEST):
                start = relaxed.start(host, vacancy, label.removesuffix(FROM_SURROGATE))
                method = reference_method(start, settings.reference, cell="defect", charge=vacancy.charge)
                unit = Unit(host.name, vacancy.name, label, "reference", start, method.digest)
                running.append(pool.submit(relax, unit, method, archive.root))
        for one in running:
            one.result()


if __name__ == "__main__":
    main()
