"""The server as a process of its own, on a free port, spoken to without a client that would tidy up what is sent."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from defect_surrogate.errors import InputError
from defect_surrogate.report_server.serve import serve
from tests.defect_surrogate.report_server.conftest import SECRET

CODE = """
import logging, sys
from pathlib import Path
from defect_surrogate.report_server.serve import serve
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
serve(Path(sys.argv[1]), address="127.0.0.1", port=0, password=None)
"""


@pytest.fixture(scope="module")
def port(root):
    done = subprocess.Popen(
        [sys.executable, "-u", "-c", CODE, str(root)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    line = done.stdout.readline()
    assert line.startswith(f"reports of {root}: http://127.0.0.1:"), line
    yield int(line.rstrip().rstrip("/").rsplit(":", 1)[1])
    os.kill(done.pid, signal.SIGTERM)
    assert done.wait(20) in (0, -signal.SIGTERM)


def said(port, request):
    for _ in range(100):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(request)
                return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise AssertionError("no answer")


def get(port, path, *, host=b"localhost", method=b"GET"):
    return said(port, method + b" " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")


def test_pages_and_files_come_over_the_network(port):
    assert b'{"status":"ok"}' in get(port, b"/health")
    page = get(port, b"/")
    assert page.startswith(b"HTTP/1.1 200 OK")
    assert b"tellurides" in page
    assert b"server:" not in page.split(b"\r\n\r\n")[0].lower()
    assert get(port, b"/files/runs/hse/report.html").endswith(b"<p>the report</p>")
    assert get(port, b"/files/runs/hse/report.html", method=b"HEAD").endswith(b"\r\n\r\n")
    assert b" 405 " in get(port, b"/", method=b"POST")[:20]
    assert b" 400 " in get(port, b"/", host=b"evil.example")[:20]


@pytest.mark.parametrize(
    "path",
    [
        b"/files/../../../../etc/passwd",
        b"/../../etc/passwd",
        b"/files/runs/hse/../../secret.txt",
        b"/files/runs/hse/..%2f..%2fsecret.txt",
        b"/files/%2e%2e/%2e%2e/secret.txt",
        b"/files/runs/hse/%252e%252e/secret.txt",
        b"/files/runs/hse/archive/campaign.json",
        b"/files/runs/hse/minima/out/1.vasp",
        b"/files/runs/out/campaign.json",
        b"http://localhost/files/../secret.txt",
        b"*",
        b"//secret.txt",
    ],
)
def test_nothing_else_comes(port, path):
    answer = get(port, path)
    assert answer[9:12] in (b"404", b"400")
    assert SECRET.encode() not in answer
    assert b"root:" not in answer


def test_what_is_no_http_is_refused(port):
    assert b" 400 " in said(port, b"\x16\x03\x01 what\r\n\r\n")[:20]
    assert get(port, b"/health")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.7.7", "reports.example", ""])
def test_beyond_this_machine_a_password_is_needed(root, address):
    with pytest.raises(InputError, match="give a password"):
        serve(root, address=address, port=0, password=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"password": ""}, "empty part"),
        ({"port": 70000}, "cannot be listened at"),
        ({"port": -1}, "cannot be listened at"),
        ({"address": "a" * 70 + ".example", "password": "s"}, "cannot be listened at"),
        ({"address": "nothing.invalid", "password": "s"}, "cannot be listened at"),
        ({"root": Path("/nothing/here")}, "is not a folder"),
    ],
)
def test_what_cannot_be_served_is_refused(root, changes, message):
    asked = {"root": root, "address": "127.0.0.1", "port": 0, "password": None} | changes
    with pytest.raises(InputError, match=message):
        serve(asked.pop("root"), **asked)


def test_a_port_that_is_taken_is_named(root, port):
    with pytest.raises(InputError, match=f"127.0.0.1:{port}: cannot be listened at: .*in use"):
        serve(root, address="127.0.0.1", port=port, password=None)


def test_a_password_over_the_network_is_warned_of(root, monkeypatch, caplog):
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    with caplog.at_level(logging.INFO):
        serve(root, address="0.0.0.0", port=0, password="group:secret")
    assert "unencrypted" in caplog.text
    assert "secret" not in caplog.text.replace(str(root), "")
