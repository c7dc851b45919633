"""The index in PostgreSQL: ASE's tables in a database that several archives may share, a whole transaction or none of it.

Imported only where such a database is asked for, since its libraries are an extra. ASE's back end (ase-db-backends 0.11)
commits in the midst of what belongs together, cannot roll back, takes the row of another writer for its own, and makes its
tables twice for two writers that begin at once; ``reading`` and ``writing`` see to it that none of this happens.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import psycopg2
from ase_db_backends.postgresql import Connection, PostgreSQLDatabase
from psycopg2.extensions import parse_dsn

from defect_surrogate.errors import ServiceError

CONNECT_SECONDS = 10
"""Longest wait for a server that does not answer (our choice)."""
LOCK_SECONDS = 60
"""Longest wait for another process that writes (our choice)."""

MAKING = "tables"
COMPLETION = (
    'ALTER TABLE text_key_values ALTER COLUMN value TYPE TEXT COLLATE "C"',  # one order, whatever the server's language
    "CREATE INDEX species_id ON species(id)",  # without these every removed row has four tables read through
    "CREATE INDEX keys_id ON keys(id)",
    "CREATE INDEX text_id ON text_key_values(id)",
    "CREATE INDEX number_id ON number_key_values(id)",
)


class Database(PostgreSQLDatabase):
    """ASE's database on a connection that ``reading`` or ``writing`` has opened."""

    def get_last_id(self, cursor: Any) -> int:
        """Return the id of the row that this connection has just written; ASE returns that of the latest writer."""
        cursor.execute("SELECT currval('systems_id_seq')")
        return int(cursor.fetchone()[0])


class _Transaction(Connection):
    """A connection that ASE does not commit."""

    def commit(self) -> None:
        """Leave it to ``writing``."""


@contextlib.contextmanager
def reading(url: str, *, shown: str) -> Iterator[Database | None]:
    """Open a database for queries.

    Parameters
    ----------
    url
        Its address.
    shown
        The address without a password, for errors.

    Yields
    ------
    Database or None
        None if it has no tables of ASE's yet.

    Raises
    ------
    ServiceError
        If it does not answer within some seconds, or refuses.
    """
    with _connected(url, shown) as connection:
        connection.set_session(readonly=True)
        database = _opened(url, connection)
        yield database if _has_tables(database) else None


@contextlib.contextmanager
def writing(url: str, *, shown: str, archive: str) -> Iterator[Database]:
    """Open a database to write the rows of an archive, which one process does at a time; kept only if nothing is raised.

    Parameters
    ----------
    url
        Its address.
    shown
        The address without a password, for errors.
    archive
        Whose rows are written.

    Yields
    ------
    Database
        With ASE's tables, which are made if need be.

    Raises
    ------
    ServiceError
        If it does not answer within some seconds, refuses, or another process writes rows of this archive for a minute.
    """
    with _connected(url, shown) as connection:
        database = _opened(url, connection)
        if not _has_tables(database):
            _lock(database, MAKING)
            if not _has_tables(database):
                database.count()  # makes them
                for statement in COMPLETION:
                    database.connection.cursor().execute(statement)
            connection.commit()
            database = _opened(url, connection)
        _lock(database, f"archive {archive}")
        yield database
        connection.commit()


@contextlib.contextmanager
def _connected(url: str, shown: str) -> Iterator[Any]:
    """Connect, and end without a commit; whatever the server or its loss raises is told as one error."""
    try:
        parse_dsn(url)
    except psycopg2.ProgrammingError:  # whose text has what it cannot read, which can be the password
        raise ServiceError(f"{shown}: DEFECT_SURROGATE_INDEX is no address of a PostgreSQL database") from None
    try:
        connection = psycopg2.connect(
            url,
            connect_timeout=CONNECT_SECONDS,
            client_encoding="UTF8",
            application_name="defect-surrogate",
            keepalives_idle=10,  # s; a machine that is gone is noticed within half a minute
            keepalives_interval=5,
            keepalives_count=4,
            tcp_user_timeout=30_000,
        )
        with contextlib.closing(connection):
            yield connection
    except psycopg2.Error as error:
        raise ServiceError(
            f"{shown}: the database of the index cannot be used: {' '.join(str(error).split())}. The archive is whole "
            "without it: mend the database, or its address in DEFECT_SURROGATE_INDEX, and reindex"
        ) from error


def _opened(url: str, connection: Any) -> Database:
    """Return ASE's database in a new transaction."""
    database = Database(url)
    database.connection = _Transaction(connection)
    database.change_count = 0
    cursor = database.connection.cursor()
    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    cursor.execute("SELECT set_config('search_path', quote_ident(current_schema()), true)")  # ASE looks in the second
    return database


def _has_tables(database: Database) -> bool:
    cursor = database.connection.cursor()
    # to_regclass would not see what another process has made since it was asked last
    cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'systems'")
    return bool(cursor.fetchone()[0])


def _lock(database: Database, name: str) -> None:
    """Wait until no other transaction has the lock of this name."""
    number = int.from_bytes(hashlib.sha256(f"defect-surrogate {name}".encode()).digest()[:8], signed=True)
    database.connection.cursor().execute("SELECT pg_advisory_xact_lock(?)", (number,))
