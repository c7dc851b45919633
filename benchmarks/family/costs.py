"""What the reference data of the family cost: a row for each host, from the records in data/.

    python benchmarks/family/costs.py     writes docs/results/family-data.md

Bundles are read where they are, without unpacking.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from active_learning import BUNDLES
from campaign import BULK_ONLY, DATA, ROOT, UNSEEN

from defect_surrogate.markdown import markdown_table

PAGE = ROOT / "docs" / "results" / "family-data.md"
COLUMNS = (
    "host",
    "part",
    "atoms",
    "vacancies",
    "relaxations",
    "of them converged",
    "single points",
    "evaluations",
    "hours",
)


def records(bundle: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a bundle."""
    with tarfile.open(bundle) as content:
        for member in content:
            if member.name.endswith("/unit.json") and (file := content.extractfile(member)) is not None:
                yield json.load(file)


def row(bundle: Path) -> tuple[str | int | float, ...]:
    """Sum up a host."""
    host = bundle.name.removesuffix(".tar.xz")
    units = list(records(bundle))
    relaxations = [unit for unit in units if unit["steps"] > 1]
    vacancies = {unit["name"].split("/")[1] for unit in units} - {"bulk"}
    part = "unseen" if host in UNSEEN else "bulk" if host in BULK_ONLY else "training"
    if bundle.is_relative_to(BUNDLES):
        part, vacancies = "training, off the learnt ways", set()  # counted with the host
    elif bundle.parent != DATA:
        part += ", unfinished"
    return (
        host,
        part,
        max(len(unit["start"]["sites"]) for unit in units),
        len(vacancies),
        len(relaxations),
        sum(bool(unit["converged"]) for unit in relaxations),
        len(units) - len(relaxations),
        sum(unit["provenance"]["evaluations"] for unit in units),
        sum(unit["provenance"]["seconds"] for unit in units) / 3600,
    )


def shown(value: str | int | float) -> str:
    """Return a cell of the table."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Write the page."""
    rows = sorted((row(path) for path in DATA.rglob("*.tar.xz")), key=lambda one: (str(one[1]), str(one[0])))
    totals = [sum(one[i] for one in rows) for i in range(3, len(COLUMNS))]  # type: ignore[misc]
    rows.append(("all", "", "", *totals))
    lines = [
        "# Reference data of the family",
        "",
        "    python benchmarks/family/campaign.py     computes them",
        "    python benchmarks/family/costs.py        writes this page",
        "",
        "GFN1-xTB by `vasp-xtb`, a stand-in for VASP. Hours are wall times of single-threaded runs, two or three of which "
        "shared two cores with other work: they say what was waited for, not what an evaluation takes.",
        "",
        *markdown_table([dict(zip(COLUMNS, map(shown, one), strict=True)) for one in rows], words=2),
        "",
    ]
    PAGE.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
