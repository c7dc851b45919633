"""A real PostgreSQL on this machine: a cluster of its own in a temporary folder, at a port of its own, gone with the tests."""

import glob
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psycopg2
import pytest
from psycopg2 import sql
from slurm import free_port

USER = "campaigns"
"""Superuser of the database; the server itself runs as ``postgres`` where the tests run as root, which it refuses to."""

CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
full_page_writes = off
shared_buffers = 16MB
max_connections = 50
autovacuum = off
"""


@dataclass
class PostgreSQL:
    """A server.

    Attributes
    ----------
    port
        Where it listens on 127.0.0.1, also after it was stopped and started again.
    password
        Of its only user.
    root
        Folder of its data and log.
    """

    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="postgresql-")))
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._make()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop(immediate=True)
        finally:
            shutil.rmtree(self.root)

    def url(self, database: str = "postgres") -> str:
        """Address of a database, with the password."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def asyncpg_url(self, database: str = "postgres") -> str:
        """That for SQLAlchemy with asyncpg, as Prefect takes it."""
        return self.url(database).replace("postgresql://", "postgresql+asyncpg://")

    def create_database(self, name: str) -> str:
        """Make a database, and return its address."""
        self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def execute(self, statement: str | sql.Composable, *, database: str = "postgres") -> list[tuple]:
        """Run a statement by itself, and return its rows."""
        connection = psycopg2.connect(self.url(database))
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_user("--pdeathsig", "QUIT"), _program("postgres"), "-D", str(self.root / "data")],
                stdout=log,
                stderr=log,
                cwd=self.root,
                start_new_session=True,
            )
        end = time.monotonic() + 30
        asked = [_program("pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        while subprocess.run(asked, check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not answer\n{(self.root / 'log').read_text(errors='replace')}")
            time.sleep(0.02)

    def stop(self, *, immediate: bool = False) -> None:
        """End it: connections are closed in order, or without a word as in a crash."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _make(self) -> None:
        """Make the cluster."""
        (self.root / "password").write_text(self.password)
        if os.geteuid() == 0:
            for path in (self.root, self.root / "password"):
                shutil.chown(path, "postgres", "postgres")
        done = subprocess.run(
            [
                *(*self._as_user(), _program("initdb"), "-D", str(self.root / "data"), f"--username={USER}"),
                *("--auth=scram-sha-256", f"--pwfile={self.root / 'password'}"),
                *("--encoding=UTF8", "--no-locale", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.root,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed\n{done.stdout}{done.stderr}")
        with (self.root / "data" / "postgresql.conf").open("a") as file:
            file.write(f"{CONFIGURATION}port = {self.port}\n")

    def _as_user(self, *options: str) -> list[str]:
        """Beginning of a command that runs as a user whom the server accepts."""
        if os.geteuid() == 0:
            options = ("--reuid=postgres", "--regid=postgres", "--init-groups", *options)
        return ["setpriv", *options] if options else []


def _program(name: str) -> str:
    """Path of one of PostgreSQL's programs; the test fails where there is none."""
    installed = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda path: float(path.split("/")[4]))
    found = shutil.which(name) or (installed[-1] if installed else None)
    if found is None:
        pytest.fail(f"no {name} on PATH or in /usr/lib/postgresql/*/bin: install the Debian package postgresql")
    return found
