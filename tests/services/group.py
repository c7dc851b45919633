"""The service of a group as a real process, on free ports of this machine, and what a member of the group asks of it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
import yaml
from tiny_search import SETTINGS, wait_until

from defect_surrogate.archive import Archive
from flows.serve.place import auth_of, client_environment, read_addresses
from flows.service import is_healthy
from tests.crystals import cubane_clusters
from tests.prefect_api import ask

COMMAND = str(Path(sys.executable).parent / "defect-surrogate")

QUICK = SETTINGS | {
    "surrogate": {"max_steps": 5},
    "reference": {"defect_incar": {"NSW": 0}},
    "workers": {"surrogate": 1, "reference": 1},
}
"""Settings of a search of seconds: three surrogate relaxations of few steps, and single points at the reference level."""


def free_port() -> int:
    """A port that nothing listens at now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Group:
    """A group's folder and service.

    Attributes
    ----------
    root
        Folder.
    variables
        Environment variables of the service.
    """

    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    reports_port: int = field(default_factory=free_port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def environment(self) -> dict[str, str]:
        """Of the service, and of commands of its members."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return own | {"OMP_NUM_THREADS": "1"} | dict(self.variables)

    @property
    def api(self) -> str:
        """Address of Prefect's API."""
        return f"http://127.0.0.1:{self.port}/api"

    def start(self) -> None:
        """Start the service, and wait until it is ready."""
        self.root.mkdir(parents=True, exist_ok=True)
        ports = ["--port", str(self.port), "--reports-port", str(self.reports_port)]
        with (self.root / "serve.log").open("wb") as log:
            self._process = subprocess.Popen(
                [COMMAND, "serve", "--service", str(self.root), *ports],
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        wait_until(self._ready, seconds=180, what="the service is ready")

    def _ready(self) -> bool:
        said = (self.root / "serve.log").read_text()
        assert self._process.poll() is None, said
        return "Ctrl-C ends it" in said

    def stop(self) -> None:
        """End the service as Ctrl-C does."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=120) == 130

    def kill(self) -> None:
        """Kill the service with all that it started, as a power cut does."""
        for process in self.processes():
            with_suppressed(process.kill)
        self._process.wait()

    def processes(self) -> list[psutil.Process]:
        """The service and all that it started, children of the dead too."""
        found = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
            except psutil.Error:
                continue
            mine = environment.get("DEFECT_SURROGATE_SERVICE") == str(self.root)
            if (
                mine
                or environment.get("PREFECT_HOME") == str(self.root / "prefect")
                or process.pid == self._process.pid
            ):
                found.append(process)
        return found

    def child(self, *words: str) -> psutil.Process:
        """The process of the service whose command line has some words."""
        for process in self.processes():
            try:
                if set(words) <= set(process.cmdline()):
                    return process
            except psutil.Error:
                continue
        return pytest.fail(f"no process of the service has {words}")

    def host(self, name: str) -> None:
        """Put the cluster crystal into the folder of hosts, a little larger for each name, so that each is another one."""
        crystal = cubane_clusters()
        crystal.scale_lattice(crystal.volume * (1 + 0.001 * (sum(map(ord, name)) % 97)))
        (self.root / "hosts").mkdir(parents=True, exist_ok=True)
        crystal.to(str(self.root / "hosts" / f"{name}.vasp"), fmt="poscar")

    def campaign(self, name: str, **content: object) -> Path:
        """Write a campaign file that is not run every night."""
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "settings": QUICK} | content))
        return path

    def submit(self, *files: Path) -> subprocess.CompletedProcess[str]:
        """Submit campaigns as a member does."""
        command = [COMMAND, "campaign", "submit", *map(str, files), "--service", str(self.root)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)

    def prefect(self, *arguments: str) -> None:
        """Run a command of Prefect's, as somebody who administers the service."""
        environment = self.environment | client_environment(self.root, read_addresses(self.root))
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        subprocess.run(command, env=environment, check=True, timeout=120, capture_output=True)

    def slow_settings(self, seconds: int) -> dict[str, Any]:
        """Settings of a search whose reference level takes some seconds more, and no core for them."""
        script, partial = self.root / "slowly", self.root / "partial"
        partial.write_text(f'#!/bin/sh\nsleep {seconds}\nexec "$@"\n')
        partial.chmod(0o755)
        partial.replace(script)
        return QUICK | {"reference": {"vasp_cmd": [str(script), "vasp-xtb"], "defect_incar": {"NSW": 0}}}

    def ask(self, path: str, **content: object) -> Any:
        """Ask Prefect's API."""
        return ask(f"{self.api}/{path}", content, auth_of(self.root))

    def runs(self, **filters: object) -> list[dict]:
        """Flow runs of the server."""
        return self.ask("flow_runs/filter", **filters)

    def states(self, name: str) -> list[str]:
        """Names of the states of the flow runs of a name."""
        return [run["state"]["name"] for run in self.runs(flow_runs={"name": {"any_": [name]}})]

    def wait_for(self, name: str, *states: str, seconds: float = 240) -> None:
        """Wait until the latest flow run of a name is in one of some states."""

        def there() -> bool:
            found = self.states(name)
            return bool(found) and all(state in states for state in found)

        wait_until(there, seconds=seconds, what=f"{name} is {states}")

    def is_up(self) -> bool:
        """Whether the API answers."""
        return is_healthy(self.api)

    def units(self) -> dict[str, int]:
        """Inode of every finished unit, by name and key."""
        return {str(one.path): one.path.stat().st_ino for one in Archive(self.root / "archive").records()}

    def reference_units(self) -> list[str]:
        """Finished units of the reference level."""
        return [name for name in self.units() if "/reference/" in name]


def with_suppressed(kill) -> None:
    """Kill a process that may be gone."""
    try:
        kill()
    except psutil.Error:
        time.sleep(0)
