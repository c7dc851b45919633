"""The table of faults: each is injected into a campaign of its own on a real Slurm, on this machine.

    python benchmarks/faults.py

writes docs/results/faults.md and .json. The faults are those of tests/services/faults.py. Needs Slurm, munge and root.
"""

import argparse
import json
import sys
import tempfile
import traceback
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "services"), str(ROOT)]

import pytest  # noqa: E402
from campaigns import campaign  # noqa: E402
from faults import CELLS, EXPECTED, STORIES, Told, unharmed  # noqa: E402
from slurm import Slurm  # noqa: E402

from defect_surrogate.markdown import markdown_table  # noqa: E402
from tests.crystals import cubane_clusters  # noqa: E402

RESULTS = ROOT / "docs" / "results"


def run(story, slurm: Slurm, root: Path) -> Told:
    """Run one fault."""
    made = []

    def make(**options):
        made.append(campaign(root / str(len(made)), slurm, cubane_clusters(), **options))
        return made[-1]

    try:
        return story(make)
    finally:
        for one in made:
            for process in one.processes():
                process.kill()


def main() -> None:
    """Run all, or those that are asked for, and write."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--only", action="append", choices=list(STORIES), help="this row; the others are as before")
    only = arguments.parse_args().only or list(STORIES)
    rows = [row for row in json.loads((RESULTS / "faults.json").read_text()) if row["fault"] not in only]
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        root = Path(place)
        with Slurm(root / "slurm") as slurm:
            release = slurm.run("sinfo", "--version").split()[-1]
            plain = run(unharmed, slurm, root / "unharmed")
            for number, name in enumerate(only):
                try:
                    told = run(STORIES[name], slurm, root / str(number))
                    row = {
                        "fault": name,
                        **told.tally,
                        "seconds_more": round(told.seconds - plain.seconds, 1),
                        "note": told.note,
                    }
                except (Exception, pytest.fail.Exception) as error:
                    traceback.print_exc()
                    row = {"fault": name, "lost": None, "twice": None, "believed_wrong": None, "seconds_more": None}
                    row["note"] = f"not as expected: {type(error).__name__}: {str(error)[:300]}"
                sys.stderr.write(f"{row}\n")
                rows.append(row)
    rows.sort(key=lambda row: list(STORIES).index(row["fault"]))
    names = ("prefect", "distributed", "dask-jobqueue", "custodian")
    versions = {name: version(name) for name in names} | {"slurm": release}
    write(rows, plain.seconds, versions)


def write(rows: list[dict], seconds: float, versions: dict[str, str]) -> None:
    """Write the table."""
    (RESULTS / "faults.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    shown = [
        {
            "fault": row["fault"],
            "expected": EXPECTED[row["fault"]],
            "seen": row["note"],
            "lost": str(row["lost"]),
            "computed twice": str(row["twice"]),
            "believed wrongly": str(row["believed_wrong"]),
            "time lost (s)": str(row["seconds_more"]),
        }
        for row in rows
    ]
    text = [
        "# Faults",
        "",
        "    python benchmarks/faults.py",
        "",
        f"Each row is a campaign of its own on a real Slurm on one machine: {CELLS} single points at the reference level "
        "(vasp-xtb) unless the fault needs relaxations, driver, jobs and archive as on a cluster. It is harmed once two "
        "units are finished. *Lost*: units that are not in the archive at the end. *Computed twice*: results dropped, since "
        "another worker had been first. *Believed wrongly*: archived, and not finite or diverged. *Time lost*: more than the "
        f"{seconds:.0f} s that a campaign takes which nobody harms; rows with other units, or two starts, are not comparable "
        "in this.",
        "",
        *markdown_table(shown, words=3),
        "",
        ", ".join(f"{name} {number}" for name, number in versions.items()) + ".",
    ]
    (RESULTS / "faults.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
