"""What every request has to pass before a page is made, and what every answer carries."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from defect_surrogate.report_server.pages import message_page
from defect_surrogate.report_server.visitors import Password, is_local_host

HEALTH = "/health"

METHODS = ("GET", "HEAD")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
"""Of answers that have no others of these names."""


class Guard:
    """ASGI middleware: host, password and method of a request, headers of an answer.

    Parameters
    ----------
    app
        What answers.
    password
        What visitors have to say; None for whoever calls this machine by its own name.
    """

    def __init__(self, app: ASGIApp, *, password: Password | None) -> None:
        self._app, self._password = app, password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(Request(scope))
        await (self._app if refusal is None else refusal)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if self._password is None and not all(map(is_local_host, request.headers.getlist("host") or [""])):
            return message_page(
                400,
                "Called by another name",
                "Without a password this server answers only to localhost, 127.0.0.1 and [::1].",
            )
        given = request.headers.get("authorization", "")
        path = request.scope["path"]  # request.url is made with what the visitor gives for a host
        if self._password is not None and path != HEALTH and not self._password.accepts(given):
            return message_page(
                401,
                "Password needed",
                "This server shows its pages to those who know its password.",
                headers={"WWW-Authenticate": 'Basic realm="defect-surrogate reports", charset="UTF-8"'},
            )
        if request.method not in METHODS:
            return message_page(405, "Read-only", "This server only shows.", headers={"Allow": ", ".join(METHODS)})
        return None
