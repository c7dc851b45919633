"""The Prefect server a run talks to: the one that ``PREFECT_API_URL`` names, else a local one for this run alone.

Prefect starts a server in every process that has no ``PREFECT_API_URL``; with Dask workers these would fight for one SQLite
file. So the driver has one server before the first flow starts, and the workers inherit its address. The database of a local
server stays in the run folder: a resumed run has its history, and a run that was killed harms no other.
"""

import contextlib
import importlib.metadata
import json
import logging
import os
import secrets
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    get_current_settings,
    temporary_settings,
)

from defect_surrogate.errors import ServiceError

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

START_SECONDS = 120.0
"""Longest wait for a local server; making its database takes about 10 s on a slow core."""

EMPTY_DATABASE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    / "defect-surrogate"
    / f"prefect-{importlib.metadata.version('prefect')}.db"
)
"""A new database with Prefect's tables, kept because making them takes longer than all else at the start of a server."""

ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",  # no scheduler, no clean-up loops: this server only records
}


class LocalServer:
    """A Prefect server as a child process, which dies with this one.

    Parameters
    ----------
    home
        Directory of its database, made when missing.
    address
        That it listens at. It asks for a password, which only this process and its workers have: a login node has other users.
    """

    def __init__(self, home: Path, address: str = LOOPBACK) -> None:
        self.home, self.address = home.absolute(), address
        self.password = f"defect-surrogate:{secrets.token_urlsafe(32)}"
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._is_new = not (self.home / "prefect.db").exists() and not copy_database(
            EMPTY_DATABASE, self.home / "prefect.db"
        )
        self._log = (self.home / "server.log").open("ab")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.server", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment
            | ENVIRONMENT
            | {"PREFECT_HOME": str(self.home), "PREFECT_SERVER_API_AUTH_STRING": self.password},
            start_new_session=True,  # Ctrl-C in the terminal must reach the driver first
        )

    def wait(self) -> str:
        """Wait until the server answers.

        Returns
        -------
        str
            URL of its API.

        Raises
        ------
        ServiceError
            If it ended, or does not answer within ``START_SECONDS``; the message names its log.
        """
        started = time.monotonic()
        assert self._process.stdout is not None  # noqa: S101  (stdout=PIPE above)
        port = self._process.stdout.readline().decode().strip()
        url = f"http://{self.address}:{port}/api"
        while self._process.poll() is None and time.monotonic() - started < START_SECONDS:
            if is_healthy(url):
                logger.debug("local Prefect server at %s after %.1f s", url, time.monotonic() - started)
                if self._is_new:
                    copy_database(self.home / "prefect.db", EMPTY_DATABASE)
                return url
            time.sleep(0.05)
        state = "does not answer" if self._process.poll() is None else f"ended with {self._process.returncode}"
        raise ServiceError(f"the local Prefect server {state}; see {self.home / 'server.log'}")

    def stop(self) -> None:
        """End the server and wait until it is gone."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


class Server:
    """What ``prefect_server`` yields: a configured server, or a local one that is starting."""

    def __init__(self, started: LocalServer | str) -> None:
        self._started = started

    @contextlib.contextmanager
    def ready(self) -> Iterator[str]:
        """Wait for a local server and point Prefect, here and in child processes, to it.

        Yields
        ------
        str
            URL of the API.

        Raises
        ------
        ServiceError
            If the local server does not start.
        """
        if isinstance(self._started, str):
            yield self._started
            return
        url, home, password = self._started.wait(), str(self._started.home), self._started.password
        direct = ",".join(
            filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), self._started.address])
        )
        variables = {"PREFECT_API_URL": url, "PREFECT_HOME": home, "DO_NOT_TRACK": "1"}
        variables |= {"no_proxy": direct, "NO_PROXY": direct}
        updates = {PREFECT_API_URL: url, PREFECT_HOME: home, PREFECT_SERVER_ANALYTICS_ENABLED: False}
        updates[PREFECT_API_AUTH_STRING] = password
        with _environment(variables), temporary_settings(updates):
            try:
                yield url
            finally:
                APILogWorker.drain_all(timeout=5)
                EventsWorker.drain_all(timeout=5)


@contextlib.contextmanager
def prefect_server(home: Path, address: str = LOOPBACK) -> Iterator[Server]:
    """Have a Prefect server for the duration of a run.

    Parameters
    ----------
    home
        Directory for the database of a local server; unused if ``PREFECT_API_URL`` is set in the environment or in Prefect's
        profile.
    address
        That a local server listens at.

    Yields
    ------
    Server
        Enter its ``ready`` before the first flow; a local server starts while the caller prepares.

    Raises
    ------
    ServiceError
        If the configured server cannot be reached.
    """
    configured = get_current_settings().api.url
    if configured is not None:
        yield Server(check_server(str(configured)))
        return
    local = LocalServer(home, address)
    try:
        yield Server(local)
    finally:
        local.stop()


def check_server(url: str) -> str:
    """Return the URL of a Prefect API after asking it for its health.

    Parameters
    ----------
    url
        As in ``PREFECT_API_URL``.

    Returns
    -------
    str
        The same URL.

    Raises
    ------
    ServiceError
        If nothing answers there, or what answers is not a healthy Prefect server.
    """
    try:
        answer = _answer(f"{url.rstrip('/')}/health", timeout=10.0, proxies=True)
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"no Prefect server answers at PREFECT_API_URL={url} ({error}); start it, or unset the variable to have a "
            "local server for the run"
        ) from error
    if answer is not True:
        raise ServiceError(f"what answers at PREFECT_API_URL={url} is not a healthy Prefect server: {answer!r}")
    return url


def is_healthy(url: str) -> bool:
    """Whether a Prefect server of this machine answers and is well.

    Parameters
    ----------
    url
        Of its API.

    Returns
    -------
    bool
        False too if nothing answers within two seconds.
    """
    try:
        return _answer(f"{url}/health", timeout=2.0, proxies=False) is True
    except (OSError, ValueError):
        return False


def copy_database(source: Path, target: Path) -> bool:
    """Copy a SQLite database that may be in use.

    Parameters
    ----------
    source, target
        Files.

    Returns
    -------
    bool
        Whether it was there and could be copied.
    """
    partial = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as there,
            contextlib.closing(sqlite3.connect(partial)) as here,
        ):
            there.backup(here)
        partial.chmod(0o600)
        partial.replace(target)
    except (OSError, sqlite3.Error):
        partial.unlink(missing_ok=True)
        return False
    return True


def _answer(url: str, *, timeout: float, proxies: bool) -> object:
    opener = urllib.request.build_opener(*([] if proxies else [urllib.request.ProxyHandler({})]))
    with opener.open(url, timeout=timeout) as response:
        return json.loads(response.read(4096))


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
