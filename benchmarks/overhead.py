"""What the flow costs beside the physics: wall time in which no force field and no executable runs.

A search is run by the real command line, then resumed with nothing left to do. The archive knows when each relaxation ended and
how long it took; the union of these intervals is the time in which something was computed, and the rest of the wall time is
overhead: imports, Prefect server, Dask workers, archive, report. ``python benchmarks/overhead.py`` writes ``overhead.json`` and
``overhead.md`` beside this file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
COMMAND = str(Path(sys.executable).parent / "defect-surrogate")


@dataclass(frozen=True)
class Overhead:
    """Result of the benchmark.

    Attributes
    ----------
    host
        File that was searched.
    cores
        Number of cores of the machine.
    units
        Number of relaxations.
    wall_seconds
        Wall time of the command, s.
    computing_seconds
        Wall time in which at least one force field or executable ran, s.
    overhead_seconds
        The rest, s.
    start_seconds
        Of it, until the first relaxation began, s.
    end_seconds
        Of it, after the last relaxation ended, s.
    overhead_seconds_per_unit
        Overhead divided by the number of relaxations, s.
    overhead_share
        Overhead divided by wall time, dimensionless.
    relaxation_seconds
        Sum of the wall times of all relaxations, of which two run at a time, s.
    resume_seconds
        Wall time of resuming the finished search, s.
    """

    host: str
    cores: int
    units: int
    wall_seconds: float
    computing_seconds: float
    overhead_seconds: float
    start_seconds: float
    end_seconds: float
    overhead_seconds_per_unit: float
    overhead_share: float
    relaxation_seconds: float
    resume_seconds: float


def measure(host: Path, settings: Path, folder: Path) -> Overhead:
    """Search a host and resume the finished search.

    Parameters
    ----------
    host
        File of the host.
    settings
        Settings of the search.
    folder
        Run folder that does not exist yet.

    Returns
    -------
    Overhead
        Its times.
    """
    began = time.time()
    subprocess.run(
        [COMMAND, "search", host, "--settings", settings, "--out", folder], check=True, stdout=subprocess.DEVNULL
    )
    ended = time.time()
    subprocess.run([COMMAND, "resume", folder], check=True, stdout=subprocess.DEVNULL)
    resumed = time.time()
    intervals = sorted(_interval(file) for file in (folder / "archive" / "units").glob("*/*/*/*/*/unit.json"))
    computing = _union(intervals)
    wall = ended - began
    return Overhead(
        host=host.name,
        cores=os.cpu_count() or 1,
        units=len(intervals),
        wall_seconds=round(wall, 1),
        computing_seconds=round(computing, 1),
        overhead_seconds=round(wall - computing, 1),
        start_seconds=round(intervals[0][0] - began, 1),
        end_seconds=round(ended - max(end for _, end in intervals), 1),
        overhead_seconds_per_unit=round((wall - computing) / len(intervals), 2),
        overhead_share=round((wall - computing) / wall, 4),
        relaxation_seconds=round(sum(end - start for start, end in intervals), 1),
        resume_seconds=round(resumed - ended, 1),
    )


def _interval(manifest: Path) -> tuple[float, float]:
    content = json.loads(manifest.read_text())
    end = datetime.fromisoformat(content["published"]).timestamp()
    return end - content["provenance"]["seconds"], end


def _union(intervals: list[tuple[float, float]]) -> float:
    total, reached = 0.0, float("-inf")
    for start, end in intervals:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _table(result: Overhead) -> str:
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in asdict(result).items()]
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("prefect", "prefect-dask", "distributed", "matgl", "tblite")
    )
    head = (
        "# Overhead of the flow\n\nMade by `python benchmarks/overhead.py`, which says what is measured, with the settings "
        f"and the seed of `examples/cdte.yaml`; {versions}. Times in s.\n\n"
        "The overhead does not grow with the length of a relaxation: it is imports, one Prefect server, three starts of "
        "Dask workers, the making of structures, and the report. The demo's relaxations take seconds; those of hybrid DFT "
        "take hours, and the share falls accordingly.\n"
    )
    return "\n".join([head, "| quantity | value |", "|---|---|", *rows, ""])


def main() -> None:
    """Measure, and write the result beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", type=Path, default=HERE.parent / "examples" / "CdTe.cif")
    parser.add_argument("--settings", type=Path, default=HERE.parent / "examples" / "cdte.yaml")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for overhead.json and overhead.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments.host, arguments.settings, Path(folder) / "run")
    (arguments.out / "overhead.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
    (arguments.out / "overhead.md").write_text(_table(result))
    print(_table(result))


if __name__ == "__main__":
    main()
