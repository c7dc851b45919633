"""A page of the server may connect to nobody but the server, and a transaction of SQLite waits for others that write."""

import contextlib
import sqlite3
from functools import partial

import pytest
import sqlalchemy
from prefect.server.database.configurations import SQLITE_BEGIN_MODE
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from flows.serve.api import ConnectsHere, begin_at_once


async def greet(websocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def test_every_answer_has_the_policy_and_web_sockets_go_through():
    routes = [Route("/", lambda _: PlainTextResponse("page")), WebSocketRoute("/events", greet)]
    client = TestClient(ConnectsHere(Starlette(routes=routes), 4200))
    for path in ("/", "/missing"):
        assert client.get(path).headers["Content-Security-Policy"] == (
            "connect-src 'self' http://127.0.0.1:4200 ws://127.0.0.1:4200"
        )
    with client.websocket_connect("/events") as session:
        assert session.receive_text() == "hello"


@pytest.mark.parametrize(("mode", "locks"), [("DEFERRED", True), ("IMMEDIATE", True), (None, False)])
def test_a_transaction_of_sqlite_has_the_lock_for_writers_from_its_beginning(tmp_path, mode, locks):
    """Prefect's own begins without it, unless it is IMMEDIATE, and fails when it writes after somebody else."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'prefect.db'}")
    sqlalchemy.event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    sqlalchemy.event.listen(engine, "begin", partial(begin_at_once, None))
    token = SQLITE_BEGIN_MODE.set(mode)
    try:
        with engine.begin(), contextlib.closing(sqlite3.connect(tmp_path / "prefect.db", timeout=0)) as other:
            refused = pytest.raises(sqlite3.OperationalError, match="locked") if locks else contextlib.nullcontext()
            with refused:
                other.execute("BEGIN IMMEDIATE")
    finally:
        SQLITE_BEGIN_MODE.reset(token)
        engine.dispose()
