"""Campaigns of many short units on a real batch system, which are harmed while they run; and what is there at their end."""

import contextlib
import math
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from slurm import Slurm
from tiny_search import COMMAND, wait_until

from defect_surrogate.archive import Archive


@dataclass
class Campaign:
    """Units of the cluster crystal, computed by ``build-dataset`` on Slurm: bulk cells, and relaxations if asked for.

    Attributes
    ----------
    root
        Its own folder.
    slurm
        Where its jobs run.
    units
        How many there are to be.
    environment
        Variables of the driver, and so of its jobs.
    """

    root: Path
    slurm: Slurm
    units: int
    environment: dict[str, str]

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.root / "run"

    @property
    def log(self) -> str:
        """What the driver has said."""
        return (self.root / "log").read_text(errors="replace")

    @property
    def archive(self) -> Archive:
        """Of the run."""
        return Archive(self.run / "archive")

    @property
    def twice(self) -> int:
        """How many results were dropped, since another worker had been first."""
        dropped = self.run / "archive" / "dropped.log"
        return len(dropped.read_text().splitlines()) if dropped.exists() else 0

    def change(self, **settings) -> None:
        """Change settings of a section."""
        content = yaml.safe_load((self.root / "build.yaml").read_text())
        for section, values in settings.items():
            content[section] |= values
        (self.root / "build.yaml").write_text(yaml.safe_dump(content))

    def start(self) -> subprocess.Popen[bytes]:
        """Start the driver, or start it again."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        with (self.root / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    *(*COMMAND, "build-dataset", str(self.root / "cluster.vasp"), "--out", str(self.run)),
                    *("--settings", str(self.root / "build.yaml"), "--cluster", str(self.root / "cluster.yaml")),
                ],
                stdout=log,
                stderr=log,
                env=clean | self.slurm.environment | self.environment,
                start_new_session=True,
            )

    def finished(self) -> dict[str, tuple[int, int]]:
        """Inode and time of change of every finished unit, by name."""
        root = self.run / "archive" / "units"
        files = {str(file.parent.parent.relative_to(root)): file.stat() for file in root.glob("*/*/*/*/*/unit.json")}
        return {name: (file.st_ino, file.st_mtime_ns) for name, file in files.items()}

    def wait_for(self, count: int, driver: subprocess.Popen[bytes], seconds: float = 240) -> None:
        """Wait until so many units are finished."""
        wait_until(
            lambda: len(self.finished()) >= count or driver.poll() is not None, seconds=seconds, what=f"{count} units"
        )
        assert driver.poll() is None or len(self.finished()) >= count, self.log

    def wait(self, driver: subprocess.Popen[bytes], seconds: float = 280) -> int:
        """Wait for the end of the driver, and return its exit code."""
        try:
            return driver.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.kill(driver.pid, signal.SIGKILL)
            raise AssertionError(f"not ended after {seconds:g} s:\n{self.log[-3000:]}") from None

    def jobs(self, state: str = "") -> list[str]:
        """Ids of its jobs in the queue."""
        return [
            number
            for number, name, found in self.slurm.jobs()
            if name.startswith("defect-surrogate") and state in found
        ]

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to the run."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                named = str(self.run) in " ".join(process.cmdline())
                mine = named or str(self.run) in process.environ().get("PREFECT_HOME", "")
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def executables(self) -> list[psutil.Process]:
        """The vasp-xtb of its attempts."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if "vasp-xtb" in " ".join(process.cmdline()) and str(self.run) in process.cwd():
                    found.append(process)
        return found

    def tally(self) -> dict[str, int]:
        """Count units that are lost, were computed twice, or hold what cannot be: the columns of the table of faults."""
        records = list(self.archive.records())
        wrong = [one.name for one in records if not math.isfinite(one.relaxation.energy) or not one.relaxation.rankable]
        frames = [
            file
            for file in (self.run / "archive" / "units").rglob("frames.extxyz")
            if "nan" in file.read_text().lower()
        ]
        return {
            "lost": self.units - len({one.name for one in records}),
            "twice": self.twice,
            "believed_wrong": len(wrong) + len(frames),
        }


def campaign(
    root: Path,
    slurm: Slurm,
    crystal,
    *,
    cells: int,
    defects: bool = False,
    incar=None,
    reference=None,
    environment=None,
) -> Campaign:
    """Make a campaign; nothing is started.

    Parameters
    ----------
    root
        Its own folder.
    slurm
        Where its jobs run.
    crystal
        The host.
    cells
        Bulk cells.
    defects
        Whether its vacancies are relaxed too: five relaxations.
    incar
        Tags of the reference level.
    reference
        Changes to the class of the reference jobs.
    environment
        Variables of the driver and its jobs.
    """
    root.mkdir(parents=True, exist_ok=True)
    crystal.to(str(root / "cluster.vasp"), fmt="poscar")
    settings = {
        "host": {"relax": False, "min_atoms": 1},
        "distortions": {"increment": 0.6},
        "vacancies": {"elements": ["Cd"]},
        "bulk": {"configurations": cells},
        "defects": defects,
        "reference": {"defect_incar": {"EDIFFG": -0.1, "NSW": 30} | (incar or {})},
    }
    (root / "build.yaml").write_text(yaml.safe_dump(settings))
    asked = {"queue": "cpu", "memory": "2 GB", "walltime": "00:20:00", "margin": 60, "jobs": {"maximum": 2, "idle": 5}}
    profile = {"scheduler": "slurm", "interface": "lo", "poll": 2, "reference": asked | (reference or {})}
    (root / "cluster.yaml").write_text(yaml.safe_dump(profile))
    return Campaign(root, slurm, cells + (5 if defects else 0), environment or {})


def until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Wait, or fail with what was waited for."""
    wait_until(condition, seconds=seconds, what=what)
