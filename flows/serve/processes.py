"""The processes of the service: Prefect's server, a worker, the report server; started in order, watched, ended together."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from defect_surrogate.errors import ServiceError
from flows.lock import locked
from flows.serve.place import PATIENT, UNTRACKED, Addresses, auth_of, client_environment, write_addresses
from flows.serve.register import POOL
from flows.service import EMPTY_DATABASE, copy_database, is_healthy

logger = logging.getLogger(__name__)

START_SECONDS = 180.0
"""Longest wait for the server; making the tables of a new database takes most of it (our choice)."""
END_SECONDS = 60.0
"""Longest wait for a process to end; a worker's flow runs write what they have meanwhile (our choice)."""
LOOPBACK = "127.0.0.1"
LOOKED_EVERY = 1.0
"""Seconds between two looks whether all processes live (our choice)."""


@dataclass(frozen=True)
class Ports:
    """Where the service listens.

    Attributes
    ----------
    api, reports
        Ports of Prefect's API and dashboard, and of the reports, on loopback.
    """

    api: int = 4200
    reports: int = 4201

    @property
    def addresses(self) -> Addresses:
        """As browsers and flow runs of this machine see them."""
        return Addresses(f"http://{LOOPBACK}:{self.api}/api", f"http://{LOOPBACK}:{self.reports}")


@dataclass
class _Child:
    """A process of the service.

    Attributes
    ----------
    name
        What it is, for messages and its log.
    process
        The process.
    log
        What it says.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> None:
        """Tell what it started to end, and then it; kill what does not.

        Prefect's worker kills its flow runs when it ends: so it is held until they have kept what they have.
        """
        if self.process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                own = psutil.Process(self.process.pid)
                own.suspend()
                try:
                    _end_all(own.children())
                finally:  # a second Ctrl-C, too
                    own.terminate()
                    own.resume()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _end_all(processes: Iterable[psutil.Process]) -> None:
    """Tell processes of another's to end, and wait until they have; it need not have taken notice of their end."""
    living, began = list(processes), time.monotonic()
    for process in living:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    while living and time.monotonic() - began < END_SECONDS:
        living = [one for one in living if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.05)


@dataclass
class Service:
    """The running service.

    Attributes
    ----------
    addresses
        Where it is.
    """

    addresses: Addresses
    _children: list[_Child] = field(default_factory=list)

    def wait(self) -> None:
        """Wait until a process has ended.

        Raises
        ------
        ServiceError
            That names it and its log.
        """
        while True:
            for child in self._children:
                if (code := child.process.poll()) is not None:
                    raise ServiceError(f"the {child.name} ended with {code}; see {child.log}")
            time.sleep(LOOKED_EVERY)


@contextlib.contextmanager
def running_service(root: Path, ports: Ports, *, at_once: int) -> Iterator[Service]:
    """Run the service of a group.

    Parameters
    ----------
    root
        Its folder; made when missing.
    ports
        Where it listens.
    at_once
        Flow runs that run at the same time.

    Yields
    ------
    Service
        When all of it is ready.

    Raises
    ------
    HeldError
        If it runs already.
    ServiceError
        If a part of it does not start, or another program listens at a port of it.
    """
    for name in ("campaigns", "hosts", "runs", "prefect"):
        (root / name).mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, a worker would not end
    running = Service(ports.addresses)
    with locked(root), contextlib.ExitStack() as ends:
        for port in (ports.api, ports.reports):
            _refuse_taken(port)
        for child in _started(root.absolute(), ports, at_once):
            running._children.append(child)
            ends.callback(child.end)
        yield running


def _started(root: Path, ports: Ports, at_once: int) -> Iterator[_Child]:
    """Start the processes, each when those before it are ready."""
    elsewhere = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    others = {name: value for name, value in os.environ.items() if name not in elsewhere}
    addresses = ports.addresses
    server = others | UNTRACKED
    server |= {"PREFECT_HOME": str(root / "prefect"), "PREFECT_SERVER_API_AUTH_STRING": auth_of(root)}
    client = others | PATIENT | client_environment(root, addresses)
    if not (root / "prefect" / "prefect.db").exists():
        copy_database(EMPTY_DATABASE, root / "prefect" / "prefect.db")
    yield (child := _start(root, "server", "flows.cli", "server", "--port", str(ports.api), environment=server))
    _wait_for(addresses.api, child, ports.api)
    registered = _start(
        root, "register", "flows.cli", "register", "--at-once", str(at_once), "--only-worker", environment=client
    )
    if registered.process.wait() != 0:
        raise ServiceError(f"the deployments were not registered; see {registered.log}")
    pages = ("flows.cli", "reports", str(root), "--port", str(ports.reports))
    yield _start(root, "reports", *pages, environment=client)
    yield _start(root, "worker", "prefect", "worker", "start", "--pool", POOL, "--name", "service", environment=client)
    write_addresses(root, addresses)


def _refuse_taken(port: int) -> None:
    """Refuse a port at which somebody listens: to a server of others the password would be told."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((LOOPBACK, port))
        except OSError as error:
            raise ServiceError(f"port {port} of this machine cannot be used ({error}); choose another one") from error


def _start(root: Path, name: str, module: str, *arguments: str, environment: Mapping[str, str]) -> _Child:
    path = root / "prefect" / f"{name}.log"
    with path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C must reach this process first
        )
    return _Child(name, process, path)


def _wait_for(api: str, server: _Child, port: int) -> None:
    """Wait until the server answers, and not another one that was quicker to take its port."""
    began = time.monotonic()
    while server.process.poll() is None and time.monotonic() - began < START_SECONDS:
        if _listens(server.process.pid, port) and is_healthy(api):
            return
        time.sleep(0.2)
    state = "does not answer" if server.process.poll() is None else f"ended with {server.process.returncode}"
    raise ServiceError(f"the Prefect server {state}; see {server.log}")


def _listens(process: int, port: int) -> bool:
    try:
        connections = psutil.Process(process).net_connections("tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)
