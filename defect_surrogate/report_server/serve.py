"""Serving the reports of a folder to browsers, until interrupted."""

import logging
import socket
from pathlib import Path

import uvicorn

from defect_surrogate.errors import InputError
from defect_surrogate.report_server.app import create_app
from defect_surrogate.report_server.visitors import is_loopback

logger = logging.getLogger(__name__)

LARGEST_PORT = 65535

LAST_ANSWERS = 5
"""Seconds that answers on their way may take when the server is asked to end."""


def serve(root: Path, *, address: str, port: int, password: str | None) -> None:
    """Serve the reports below a folder, until the process is asked to end (SIGINT, SIGTERM).

    Parameters
    ----------
    root
        The folder.
    address
        Name or address of this machine to listen at, e.g. ``127.0.0.1``.
    port
        Number of the port; 0 for any that is free, which is logged.
    password
        ``SECRET`` or ``USER:SECRET``, which visitors have to say; None to ask for none, which only a loopback address allows.

    Raises
    ------
    InputError
        If the folder is none, the password has an empty part, or there is none beyond loopback, or the address cannot be
        listened at.
    """
    if password is None and not is_loopback(address):
        raise InputError(f"{address}: others can reach this address; give a password, or serve at 127.0.0.1")
    app = create_app(root, password=password)
    with _listening(address, port) as listening:
        host, number = listening.getsockname()[:2]
        logger.info("reports of %s: http://%s:%d/", root, f"[{host}]" if ":" in host else host, number)
        if not is_loopback(address):
            logger.warning("password and pages go over the network unencrypted; a proxy with TLS in front mends that")
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=LAST_ANSWERS,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _listening(address: str, port: int) -> socket.socket:
    if not 0 <= port <= LARGEST_PORT:
        raise InputError(f"{address}:{port}: cannot be listened at: ports are 0 to {LARGEST_PORT}")
    try:
        family, *_, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(where[:2], family=family)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{address}:{port}: cannot be listened at: {error}") from error
