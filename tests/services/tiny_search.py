"""The real command line on a host so small that a whole search takes about a minute."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

COMMAND = [str(Path(sys.executable).parent / "defect-surrogate")]

SETTINGS = {
    "host": {"relax": False, "min_atoms": 1},
    "distortions": {"increment": 0.6},
    "surrogate": {"force_tolerance": 1e-2, "max_steps": 60},
    "reference": {"defect_incar": {"EDIFFG": -0.1, "NSW": 30}},
    "workers": {"surrogate": 1},  # one process that loads a force field is enough
}


@dataclass
class Search:
    """A search of the cluster crystal, run by the real command line."""

    folder: Path
    host: Path
    settings: Path
    log: Path

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command whose standard error goes to the log."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        with self.log.open("wb") as log:
            return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=log, env=environment)

    def search(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the search."""
        return self.start(
            "search", str(self.host), "--out", str(self.folder), "--settings", str(self.settings), "--json", *more
        )

    def resume(self) -> subprocess.Popen[bytes]:
        """Start it again."""
        return self.start("resume", str(self.folder), "--json")

    def finished(self) -> dict[str, tuple[int, int]]:
        """Inode and time of change of every finished unit, by name."""
        root = self.folder / "archive" / "units"
        files = {str(file.parent.parent.relative_to(root)): file.stat() for file in root.glob("*/*/*/*/*/unit.json")}
        return {name: (file.st_ino, file.st_mtime_ns) for name, file in files.items()}

    def relaxed_now(self) -> set[str]:
        """Units that the log says were relaxed by the latest command."""
        words = [line.split() for line in self.log.read_text().splitlines() if " steps, " in line]
        return {line[1] for line in words}

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to the run: server, workers, executables; not the command itself."""
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    f"{self.folder}/prefect" in process.environ().get("PREFECT_HOME", "")
                    and process.status() != "zombie"
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Wait, or fail with what was waited for."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"after {seconds:g} s still not: {what}")
        time.sleep(0.02)
