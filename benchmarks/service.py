"""Twenty campaigns submitted at once by four processes, each of them by all four, and run to their ends by one service.

    python benchmarks/service.py [--database sqlite|postgresql]

writes benchmarks/service.json and, from all that is in it, benchmarks/service.md. Each campaign searches a host of its own, at
the stand-in's level with few steps. Meanwhile the server is asked ten times a second to list flow runs. Needs PostgreSQL for
the one, and half an hour of two cores for both.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "services"), str(HERE.parent)]

from group import Group  # noqa: E402
from postgres import PostgreSQL  # noqa: E402

from defect_surrogate.archive import Archive  # noqa: E402
from defect_surrogate.markdown import markdown_table  # noqa: E402
from flows.campaigns.folder import ServiceFolder  # noqa: E402
from flows.campaigns.history import read_history  # noqa: E402

NAMES = [f"campaign-{number:02d}" for number in range(20)]
SUBMITTERS = 4


class Asking:
    """Asks the server to list flow runs, ten times a second, and notes how long it takes."""

    def __init__(self, group: Group) -> None:
        self._group, self.seconds, self.failed, self._over = group, [], 0, threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while not self._over.wait(0.1):
            began = time.monotonic()
            try:
                self._group.runs(limit=100, sort="START_TIME_DESC")
            except OSError:
                self.failed += 1
            self.seconds.append(time.monotonic() - began)

    def end(self) -> dict:
        """Stop asking, and say how long it took."""
        self._over.set()
        self._thread.join()
        part = statistics.quantiles(self.seconds, n=100)
        return {
            "questions": len(self.seconds),
            "without an answer": self.failed,
            "median": statistics.median(self.seconds),
            "95 %": part[94],
            "99 %": part[98],
            "longest": max(self.seconds),
        }


def measure(database: str) -> dict:
    """Submit and run all campaigns with one service."""
    with ExitStack() as stack:
        variables = {}
        if database == "postgresql":
            server = stack.enter_context(PostgreSQL())
            server.create_database("prefect")
            server.create_database("units")
            variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = server.asyncpg_url("prefect")
            variables["DEFECT_SURROGATE_INDEX"] = server.url("units")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        group = stack.enter_context(Group(folder / "group", variables))
        files = []
        for name in NAMES:
            group.host(name)
            files.append(group.campaign(name, hosts=[f"hosts/{name}.vasp"]))
        asking, began = Asking(group), time.monotonic()
        orders = [files[first:] + files[:first] for first in range(0, len(files), len(files) // SUBMITTERS)]
        with ThreadPoolExecutor(SUBMITTERS) as threads:
            said = list(threads.map(lambda order: group.submit(*order), orders))
        submitted, while_submitted = time.monotonic() - began, asking.end()
        asking = Asking(group)
        while True:
            runs = group.runs(flow_runs={"tags": {"all_": ["campaign"]}})
            if all(run["state"]["type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED") for run in runs):
                break
            time.sleep(5)
        entries = {name: read_history(ServiceFolder(group.root).campaign(name)) for name in NAMES}
        archive = Archive(group.root / "archive")
        return {
            "submissions": len(NAMES) * SUBMITTERS,
            "refused": sum(one.returncode != 0 for one in said),
            "flow runs": len(runs),
            "states": Counter(run["state"]["name"] for run in runs),
            "campaigns run once": sum(len(one) == 1 and one[0].ended is not None for one in entries.values()),
            "hosts finished": sum(host.state == "finished" for one in entries.values() for host in one[0].hosts),
            "units": sum(1 for _ in archive.records()),
            "units computed twice": dropped(archive.root),
            "minutes": (time.monotonic() - began) / 60,
            "seconds of submitting": submitted,
            "while submitted": while_submitted,
            "while they ran": asking.end(),
        }


def dropped(root: Path) -> int:
    """Count results that were dropped, since another worker had been first."""
    log = root / "dropped.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def write_page(found: dict) -> None:
    """Write benchmarks/service.md."""
    counts = [
        "submissions",
        "refused",
        "flow runs",
        "campaigns run once",
        "hosts finished",
        "units",
        "units computed twice",
    ]
    rows = [
        {"": name} | {kind: str(one[name]) for kind, one in found.items() if kind != "made with"} for name in counts
    ]
    rows.append({"": "minutes"} | {kind: f"{one['minutes']:.0f}" for kind, one in found.items() if kind != "made with"})
    times = []
    for kind, one in found.items():
        for when in ("while submitted", "while they ran"):
            if kind != "made with":
                answers = one[when]
                spread = {name: f"{1e3 * answers[name]:.0f} ms" for name in ("median", "95 %", "99 %", "longest")}
                lost = {"without an answer": str(answers["without an answer"])}
                times.append(
                    {"Prefect's database": f"{kind}, {when}", "questions": str(answers["questions"])} | spread | lost
                )
    versions = ", ".join(f"{name} {number}" for name, number in found["made with"].items())
    text = [
        "# Twenty campaigns at once",
        "",
        "Four processes at the same time each submitted the same twenty campaigns, of one host each; a service of two flow "
        "runs at a time ran them. The server was asked ten times a second to list flow runs.",
        "",
        *markdown_table(rows),
        "",
        *markdown_table(times),
        "",
        f"Times are of a machine of {os.cpu_count()} cores, on which the searches ran, too: they say whether the dashboard can "
        "be used, not how fast a server is.",
        "",
        f"Made by `python benchmarks/service.py` with {versions}.",
    ]
    (HERE / "service.md").write_text("\n".join(text) + "\n")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    asked = parser.parse_args().database or ["sqlite", "postgresql"]
    file = HERE / "service.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for database in asked:
        found[database] = measure(database)
        found["made with"] = {name: version(name) for name in ("defect-surrogate", "prefect", "sqlalchemy", "dask")}
        file.write_text(json.dumps(found, indent=1) + "\n")
        write_page(found)
        print(json.dumps(found[database], indent=1))


if __name__ == "__main__":
    main()
