"""Prefect's server and dashboard, as ``prefect server start`` has them, but for two things.

With ``PREFECT_SERVER_ANALYTICS_ENABLED=false`` Prefect 3.8's dashboard still asks a company's server for its configuration
before it reads that it should not. A header forbids it to connect to anybody but this server.

Prefect's transactions begin without SQLite's lock for writers. One that has read, and at its first write finds that another
wrote meanwhile, fails at once, as ``database is locked`` (https://www.sqlite.org/lang_transaction.html): events are then taken
in twice or never, and what crashed is resumed twice or never. Here transactions take the lock when they begin, and wait for it.
"""

import os

import uvicorn
from sqlalchemy import Connection
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.serve.place import LASTING, UNTRACKED

POLICY = "connect-src 'self' http://127.0.0.1:{port} ws://127.0.0.1:{port}"
"""A page of this server connects to this server alone (https://www.w3.org/TR/CSP3/, ``connect-src``), also as ``localhost``."""


class ConnectsHere:
    """Adds the policy to every answer of an application.

    Parameters
    ----------
    app
        The application.
    port
        Of the server.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app, self._policy = app, POLICY.format(port=port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = self._policy
            await send(message)

        await self._app(scope, receive, with_policy)


def begin_at_once(_configuration: object, connection: Connection) -> None:
    """Begin a transaction of SQLite with the lock for writers; reads that Prefect makes without one go on without.

    Parameters
    ----------
    _configuration
        Prefect's, whose method this is.
    connection
        On which it begins.
    """
    from prefect.server.database.configurations import SQLITE_BEGIN_MODE  # noqa: PLC0415  (reads the environment)

    if SQLITE_BEGIN_MODE.get() is not None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def serve_api(address: str, port: int) -> None:
    """Serve Prefect's API and dashboard until the process is asked to end.

    Parameters
    ----------
    address
        That it listens at.
    port
        Number of the port.
    """
    os.environ.update(UNTRACKED | LASTING)
    os.environ |= {"PREFECT_SERVER_API_HOST": address, "PREFECT_SERVER_API_PORT": str(port)}
    os.environ.pop("PREFECT_API_URL", None)  # of this server, which is no client of another
    from prefect.server.api.server import create_app  # noqa: PLC0415  (reads the environment at import)
    from prefect.server.database.configurations import AioSqliteConfiguration  # noqa: PLC0415

    AioSqliteConfiguration.begin_sqlite_stmt = begin_at_once  # type: ignore[assignment, method-assign]
    uvicorn.run(
        ConnectsHere(create_app(final=True), port), host=address, port=port, log_level="warning", timeout_keep_alive=30
    )
