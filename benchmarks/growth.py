"""What flow, Dask and archive cost for each of ten thousand units, and whether that grows: time, memory, look-ups.

    python benchmarks/growth.py

The relaxation is a fixed delay, made up and said to be so; all else is what a search does: a Prefect server of the run, local
workers, a task run for each unit, its publication with fsync, the driver's look-ups. In parts of ten, so that growth shows.
Writes benchmarks/growth.md and .json.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
)  # for the workers
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")

import psutil
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from pymatgen.core import Lattice, Structure

from defect_surrogate.archive import Archive, Driver
from defect_surrogate.markdown import markdown_table
from defect_surrogate.relaxation import Frame, Provenance, Relaxation, Unit
from defect_surrogate.settings import WorkerSettings
from flows import batches
from flows.cluster.connection import Cluster
from flows.relaxing import this_machine
from flows.service import prefect_server
from flows.stream import Results
from flows.surrogate_level import BATCHES
from flows.work import Work

HERE = Path(__file__).parent
DELAY = 0.01
"""Seconds that a made-up relaxation takes."""
PARTS = 10


@task(name="wait-in-place-of-a-relaxation", cache_policy=NO_CACHE, persist_result=False)
def wait_unit(units: tuple[Unit, ...], root: Path) -> None:
    """Wait, and publish a made-up relaxation."""
    archive = Archive(root)
    for unit in units:
        time.sleep(DELAY)
        frame = Frame(unit.structure, -1.0, unit.structure.cart_coords * 0.0, None)
        provenance = Provenance("made up", unit.method, DELAY, 1, ())
        archive.publish(
            unit, Relaxation("surrogate", unit.structure, -1.0, 1, True, "converged", "made up", provenance, (frame,))
        )


@flow(name="growth", flow_run_name=batches.batch_name, persist_result=False)
def wait_flow(batch: batches.Batch, root: Path) -> tuple[str, ...]:
    """Give out units, four at a time, as on CPUs."""
    return batches.relaxed(
        batch,
        root,
        lambda group: wait_unit.submit(tuple(work.unit for work in group), root),
        most=BATCHES,
        workers=2,
    )


def serving() -> psutil.Process:
    """Find the process that holds the Dask scheduler."""
    children = psutil.Process().children(recursive=True)
    return next(child for child in children if "flows.cluster.serve" in " ".join(child.cmdline()))


def megabytes(process: psutil.Process) -> float:
    """Return resident memory, MB."""
    return process.memory_info().rss / 1e6


def look_up_milliseconds(archive: Archive, units: list[Unit]) -> float:
    """Median time to find one of some finished units, ms."""
    times = []
    for unit in units[:: max(1, len(units) // 200)]:
        began = time.perf_counter()
        assert archive.find(unit) is not None
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def measure(count: int, folder: Path) -> list[dict[str, float]]:
    """Give out units in parts, and measure after each."""
    start = Structure(
        Lattice.cubic(10.0), ["Cd"] * 32 + ["Te"] * 31, [[i / 63, i / 7 % 1, i / 9 % 1] for i in range(63)]
    )
    units = [Unit("CdTe", "v_Cd_0", f"Unit_{number:05d}", "surrogate", start, "made up") for number in range(count)]
    root, rows = folder / "archive", []
    cluster = Cluster(this_machine(WorkerSettings()), folder / "workers")
    with Driver(Archive(root).root) as driver, contextlib.closing(cluster):
        for part in range(PARTS):
            mine = units[part * count // PARTS : (part + 1) * count // PARTS]
            results, began = Results(), time.perf_counter()
            batch = batches.Batch(
                works=tuple(Work(unit) for unit in mine),
                retries=0,
                pool="surrogate",
                cluster=cluster,
                driver=driver,
                results=results,
            )
            runner = cluster.crew("surrogate").task_runner
            wait_flow.with_options(task_runner=runner)(batch, root)
            seconds = time.perf_counter() - began
            row = {
                "units": len(mine) * (part + 1),
                "ms_per_unit": 1000 * seconds / len(mine),
                "driver_MB": megabytes(psutil.Process()),
                "scheduler_MB": megabytes(serving()),
                "look_up_ms": look_up_milliseconds(Archive(root), units[: (part + 1) * count // PARTS]),
            }
            sys.stderr.write(f"{row}\n")
            rows.append(row)
    return rows


def main() -> None:
    """Measure, and write."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--units", type=int, default=10_000)
    count = arguments.parse_args().units
    folder = Path(tempfile.mkdtemp(prefix="growth-"))
    try:
        with prefect_server(folder / "prefect") as server, server.ready():
            rows = measure(count, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    names = ("prefect", "prefect-dask", "distributed", "dask-jobqueue")
    result = {
        "command": "python benchmarks/growth.py",
        "cores": os.cpu_count(),
        "workers": 2,
        "delay_ms": 1000 * DELAY,
        "rows": rows,
        "versions": {name: version(name) for name in names},
    }
    (HERE / "growth.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (HERE / "growth.md").write_text("\n".join(page(result, count)) + "\n", encoding="utf-8")


def page(result: dict, count: int) -> list[str]:
    """Write the lines of the page."""
    rows = result["rows"]
    first, last = rows[0], rows[-1]
    more = last["units"] - first["units"]
    grows = {name: 1000 * (last[f"{name}_MB"] - first[f"{name}_MB"]) / more for name in ("driver", "scheduler")}
    columns = (
        "units",
        "time for each (ms)",
        "driver (MB)",
        "Dask scheduler (MB)",
        "look-up in the archive, median (ms)",
    )
    cells = [
        (row["units"], f"{row['ms_per_unit']:.0f}", f"{row['driver_MB']:.0f}", f"{row['scheduler_MB']:.0f}",
         f"{row['look_up_ms']:.2f}")
        for row in rows
    ]  # fmt: skip
    return [
        "# Ten thousand units",
        "",
        f"Made by `{result['command']}`, which says what is measured: {count} units, two local workers on {result['cores']} "
        f"cores, a delay of {result['delay_ms']:.0f} ms in place of each relaxation, four of them in a task, "
        f"as on CPUs, {PARTS} flow runs one after the other. "
        + ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        + ".",
        "",
        *markdown_table([dict(zip(columns, map(str, row), strict=True)) for row in cells]),
        "",
        f"A unit takes {last['ms_per_unit'] / first['ms_per_unit']:.2f} times as long in the last part as in the first (which "
        f"starts the workers), a look-up {last['look_up_ms'] / first['look_up_ms']:.2f} times. From the first part to the last "
        f"the driver grows by {grows['driver']:.1f} kB and the scheduler by {grows['scheduler']:.1f} kB for each unit.",
    ]


if __name__ == "__main__":
    main()
