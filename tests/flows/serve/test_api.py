"""A page of the server may connect to nobody but the server."""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from flows.serve.api import ConnectsHere


async def greet(websocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def test_every_answer_has_the_policy_and_web_sockets_go_through():
    routes = [Route("/", lambda _: PlainTextResponse("page")), WebSocketRoute("/events", greet)]
    client = TestClient(ConnectsHere(Starlette(routes=routes)))
    for path in ("/", "/missing"):
        assert client.get(path).headers["Content-Security-Policy"] == "connect-src 'self'"
    with client.websocket_connect("/events") as session:
        assert session.receive_text() == "hello"
