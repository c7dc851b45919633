"""The local Prefect server of one run: ``python -m flows.server ADDRESS``, started by ``flows.service``, and dead when it is.

Prefect's own way to start a temporary server leaves it running when the driver is killed with SIGKILL. This process reads its
standard input, which the driver never writes to: the end of that stream is the end of the driver, however it died.
"""

import os
import signal
import socket
import sys
import threading

import uvicorn
from prefect.server.api.server import create_app

GRACE_SECONDS = 5.0
"""Time for an orderly end, which closes the SQLite database; after it the process ends itself."""


def main() -> None:
    """Serve Prefect's API on a free port of the address that is given, and write the port to standard output."""
    listener = socket.socket()
    listener.bind((sys.argv[1], 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(create_app(final=True), log_level="error", timeout_graceful_shutdown=1))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server.run(sockets=[listener])


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
