"""What a sweep with the surrogate alone costs: 8 compositions, 5 supercells of each, every environment, on this machine.

    python benchmarks/alloy/throughput.py

runs benchmarks/alloy/throughput.yaml in runs/alloy/throughput, kills the first run with -9 once it is well on its way, and goes
on; killed or interrupted itself, it goes on where it was. When all is done it writes benchmarks/alloy/throughput.md and .json.
Nothing else should run meanwhile; what did is said by ``--remark "..."``, and stands on the page.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from defect_surrogate.markdown import markdown_table

HERE = Path(__file__).parent
RUN = HERE.parents[1] / "runs" / "alloy" / "throughput"
NOTES = RUN.with_suffix(".json")
COMMAND = [str(Path(sys.executable).parent / "defect-surrogate")]
KILLED_AT = 400
"""Units after which the first run is killed."""
RELAXED = re.compile(r"^[\d:]+ (\S+/surrogate) .* \d+ of \d+$", re.MULTILINE)
DROPPED = re.compile(r"^[\d:]+ (\S+): already archived by another worker", re.MULTILINE)
"""Lines of the log: a unit has been relaxed; one had been relaxed before."""


def finished() -> dict[str, tuple[int, int]]:
    """Inode and time of change of every finished unit, by its path."""
    root = RUN / "archive" / "units"
    files = {str(file.parent.relative_to(root)): file.stat() for file in root.glob("*/*/*/*/*/unit.json")}
    return {name: (file.st_ino, file.st_mtime_ns) for name, file in files.items()}


def relaxed_twice(notes: list[dict]) -> int:
    """Count units that were relaxed more than once, by the log of all runs, or that changed after they were archived."""
    log = RUN.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    again = sum(count - 1 for count in Counter(RELAXED.findall(log)).values())
    return again + len(DROPPED.findall(log)) + sum(one["changed"] for one in notes)


def memory(process: psutil.Process) -> int:
    """Proportional memory of a process and its descendants, bytes."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def run(notes: list[dict]) -> int:
    """Run or resume the sweep, note how long it takes, what it finishes and what memory it takes, and return its exit code."""
    before, began = finished(), time.monotonic()
    note: dict[str, object] = {"cores": os.cpu_count(), "killed": False, "exit": None, "peak_bytes": 0}
    notes.append(note)
    with RUN.with_suffix(".log").open("ab") as log:
        child = subprocess.Popen(
            [*COMMAND, "sweep", str(HERE / "throughput.yaml"), "--out", str(RUN)], stdout=log, stderr=log
        )
        while note["exit"] is None:
            time.sleep(5)
            note["exit"] = child.poll()
            if note["exit"] is None:
                note["peak_bytes"] = max(note["peak_bytes"], memory(psutil.Process(child.pid)))
            after = finished()
            note["seconds"] = time.monotonic() - began
            note["units"] = len(after) - len(before)
            note["changed"] = sum(after[name] != stamp for name, stamp in before.items())
            NOTES.write_text(json.dumps(notes, indent=1))  # so that little is lost if this is killed
            if not before and len(after) >= KILLED_AT and not note["killed"]:
                os.kill(child.pid, signal.SIGKILL)
                note["killed"] = True
    return child.returncode


def write(notes: list[dict], remark: str) -> None:
    """Write the page."""
    report = json.loads((RUN / "alloy.json").read_text())
    rows = report["rows"]
    seconds, units, killed = sum(one["seconds"] for one in notes), len(finished()), sum(one["killed"] for one in notes)
    disk = sum(file.stat().st_size for file in (RUN / "archive" / "units").rglob("*") if file.is_file())
    result = {
        "command": "python benchmarks/alloy/throughput.py",
        "compositions": len(report["compositions"]),
        "supercells": len({row["host"] for row in rows}),
        "environments": len(rows),
        "relaxations": units,
        "relaxed_twice": relaxed_twice(notes),
        "killed_with_9": killed,
        "interrupted": sum(one["exit"] is None for one in notes),
        "wall_seconds": seconds,
        "relaxations_per_hour": 3600 * units / seconds,
        "wall_seconds_per_environment": seconds / len(rows),
        "core_seconds_per_environment": sum(row["surrogate_seconds"] for row in rows) / len(rows),
        "overhead": 1 - sum(row["surrogate_seconds"] for row in rows) / (seconds * notes[0]["cores"]),
        "peak_memory_GB": max(one["peak_bytes"] for one in notes) / 1e9,
        "archive_MB": disk / 1e6,
        "cores": notes[0]["cores"],
        "surrogate": report["surrogate"],
        "versions": report["versions"],
    }
    (HERE / "throughput.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shown = [
        {"": name.replace("_", " "), "value": f"{value:.4g}" if isinstance(value, float) else str(value)}
        for name, value in result.items()
        if name not in ("versions", "command")
    ]
    text = [
        "# A sweep with the surrogate alone",
        "",
        "    python benchmarks/alloy/throughput.py",
        "",
        "Eight compositions of CdSe(x)Te(1-x), five supercells of 64 atoms of each, a vacancy in each of their environments, "
        "31 starts and what other environments offer, relaxed to 0.01 eV/Å on the average atom. Relaxed twice: units that the "
        "log has twice, or that changed after they were archived. "
        + ("The first run was killed with -9 and gone on with. " if killed else "")
        + "Overhead: share of the cores' time that is not relaxing: starting workers, making the starts, minima, reports.",
        "",
        *markdown_table(shown),
        "",
        *([remark, ""] if remark else []),
        ", ".join(f"{name} {version}" for name, version in report["versions"].items()) + ".",
    ]
    (HERE / "throughput.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def main() -> None:
    """Run until all is done, then write."""
    RUN.parent.mkdir(parents=True, exist_ok=True)
    notes: list[dict] = json.loads(NOTES.read_text()) if NOTES.exists() else []
    while not notes or notes[-1]["exit"] != 0:
        if run(notes) not in (0, -signal.SIGKILL):
            raise SystemExit(f"the sweep did not end well; see {RUN.with_suffix('.log')}")
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--remark", default="")
    write(notes, arguments.parse_args().remark)


if __name__ == "__main__":
    main()
