"""When the units of both levels of a search are at work: no barrier stands between the stages.

    python benchmarks/levels.py

searches both vacancies of CdTe on a real Slurm on this machine, one job of each class in a partition of its own, and writes
benchmarks/levels.md, .json and .svg. Needs Slurm, munge and root.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests" / "services"))

from slurm import Slurm  # noqa: E402

from defect_surrogate.archive import Archive  # noqa: E402
from defect_surrogate.markdown import markdown_table  # noqa: E402

mpl.use("svg")
from matplotlib import pyplot as plt  # noqa: E402

COLOURS = {"surrogate": "#4477aa", "reference": "#cc6677"}
"""Of Tol's bright and muted schemes, told apart by those who do not see all colours."""


def search(root: Path, slurm: Slurm) -> float:
    """Run the search, and return when it began, s since the epoch."""
    settings = yaml.safe_load((ROOT / "examples" / "cdte.yaml").read_text())
    settings["vacancies"]["elements"] = ["Cd", "Te"]
    settings["surrogate"]["potential"] = str(ROOT / "models" / "gfn1-defects")
    (root / "search.yaml").write_text(yaml.safe_dump(settings))
    job = {"memory": "3 GB", "walltime": "01:00:00", "margin": 60, "jobs": {"maximum": 1, "idle": 20}}
    profile = {"scheduler": "slurm", "interface": "lo", "poll": 2}
    profile |= {"surrogate": job | {"queue": "gpu"}, "reference": job | {"queue": "cpu"}}
    (root / "cluster.yaml").write_text(yaml.safe_dump(profile))
    began = time.time()
    subprocess.run(
        [
            *(str(Path(sys.executable).parent / "defect-surrogate"), "search", str(ROOT / "examples" / "CdTe.cif")),
            *("--out", str(root / "run"), "--settings", str(root / "search.yaml")),
            *("--cluster", str(root / "cluster.yaml")),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | slurm.environment,
    )
    return began


def trace(archive: Archive, began: float) -> list[dict]:
    """Say when each unit was at work, in s from the beginning; its end is when it was archived."""
    rows = []
    for record in archive.records():
        _, defect, label, level = record.name.split("/")
        end = (record.path / "unit.json").stat().st_mtime - began
        seconds = record.relaxation.provenance.seconds
        row = {"defect": defect, "label": label, "level": level, "from": end - seconds, "to": end}
        rows.append(row | {name: round(row[name], 1) for name in ("from", "to")})
    return sorted(rows, key=lambda row: row["from"])


def draw(rows: list[dict]) -> None:
    """Draw a bar for each unit, in a row for each vacancy and level."""
    lanes = list(dict.fromkeys((row["defect"], row["level"]) for row in rows))
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(lanes) + 1))
    for row in rows:
        lane = lanes.index((row["defect"], row["level"]))
        width = row["to"] - row["from"]
        axes.barh(lane, width, left=row["from"], color=COLOURS[row["level"]], edgecolor="white", linewidth=0.5)
    axes.set_yticks(range(len(lanes)), [f"{defect}, {level}" for defect, level in lanes])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds from the beginning of the search")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(HERE / "levels.svg", metadata={"Date": None})


def write(rows: list[dict], release: str) -> None:
    """Write the page."""
    lanes = list(dict.fromkeys((row["defect"], row["level"]) for row in rows))
    shown = []
    for lane in lanes:
        mine = [row for row in rows if (row["defect"], row["level"]) == lane]
        times = {"first begins (s)": min(row["from"] for row in mine), "last ends (s)": max(row["to"] for row in mine)}
        shown.append(
            {"vacancy": lane[0], "level": lane[1], "units": str(len(mine))}
            | {name: f"{seconds:.0f}" for name, seconds in times.items()}
        )
    ends = max(row["to"] for row in rows if row["level"] == "surrogate")
    of_vacancies = [row for row in rows if row["level"] == "reference" and row["defect"] != "bulk"]
    early = sum(max(0.0, min(row["to"], ends) - row["from"]) for row in of_vacancies)
    work = sum(row["to"] - row["from"] for row in of_vacancies)
    last = max(row["to"] for row in rows)
    text = [
        "# Both levels of a search at once",
        "",
        "    python benchmarks/levels.py",
        "",
        "A search of both vacancies of CdTe (64 atoms) through Slurm on one machine with two cores: one job of the surrogate, "
        "one of the reference level (vasp-xtb, stand-in for VASP), each in a partition of its own. A unit's bar ends when it "
        "was archived, and is as long as its work took.",
        "",
        "![Units of both levels against time](levels.svg)",
        "",
        *markdown_table(shown, words=2),
        "",
        f"When the surrogate ended, at {ends:.0f} s, the reference level had worked on vacancies for {early:.0f} s of its "
        f"{work:.0f} s. The search took {last:.0f} s; if the reference level had begun when the surrogate was done with both "
        f"vacancies, and had never been without work, it would have taken {ends + work:.0f} s.",
        "",
        f"prefect {version('prefect')}, distributed {version('distributed')}, dask-jobqueue {version('dask-jobqueue')}, slurm "
        f"{release}.",
    ]
    (HERE / "levels.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def main() -> None:
    """Search, and write."""
    with tempfile.TemporaryDirectory(prefix="levels-") as place:
        root = Path(place)
        with Slurm(root / "slurm") as slurm:
            rows = trace(Archive(root / "run" / "archive"), search(root, slurm))
            release = slurm.run("sinfo", "--version").split()[-1]
    (HERE / "levels.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    draw(rows)
    write(rows, release)


if __name__ == "__main__":
    main()
