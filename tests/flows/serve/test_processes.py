"""The processes of the service; that they start, and work, is tested in tests/services."""

import http.server
import socket
import socketserver
import subprocess
import sys
import threading
import time

import psutil
import pytest

from defect_surrogate.errors import HeldError, ServiceError
from flows.lock import locked
from flows.serve.processes import Ports, Service, _Child, _wait_for, running_service
from flows.service import is_healthy


def test_addresses_are_those_of_the_ports():
    addresses = Ports(4300, 4301).addresses
    assert (addresses.api, addresses.reports) == ("http://127.0.0.1:4300/api", "http://127.0.0.1:4301")


def test_a_second_service_in_a_folder_is_refused(tmp_path):
    with (
        locked(tmp_path),
        socket.create_server(("127.0.0.1", 0)) as its,
        pytest.raises(HeldError, match="runs already"),
        running_service(tmp_path, Ports(its.getsockname()[1]), at_once=1),
    ):
        pass


def test_a_port_of_another_program_is_refused_before_anything_starts(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(ServiceError, match=f"port {port} of this machine cannot be used"),
            running_service(tmp_path / "service", Ports(port, 4301), at_once=1),
        ):
            pass
    assert list((tmp_path / "service" / "prefect").iterdir()) == []


def test_a_server_that_another_program_forestalled_is_not_waited_for(tmp_path):
    """It answers as healthy as ours would."""
    with socketserver.TCPServer(("127.0.0.1", 0), Healthy) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        port = other.server_address[1]
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1); raise SystemExit(1)"])
        child = _Child("server", process, tmp_path / "server.log")
        assert is_healthy(f"http://127.0.0.1:{port}/api")
        with pytest.raises(ServiceError, match="the Prefect server ended with 1"):
            _wait_for(f"http://127.0.0.1:{port}/api", child, port)
        other.shutdown()


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_):
        pass


def test_the_end_of_a_process_ends_the_service_and_names_its_log(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    child = _Child("worker", process, tmp_path / "worker.log")
    with pytest.raises(ServiceError, match=r"the worker ended with 7; see .*worker\.log"):
        Service(Ports().addresses, [child]).wait()
    child.end()  # that is gone


def test_a_process_is_told_to_end_with_what_it_started(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "sys.exit(child.wait() != -15)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    number = int(process.stdout.readline())
    _Child("worker", process, tmp_path / "worker.log").end()
    process.stdout.close()
    assert process.returncode is not None
    deadline = time.monotonic() + 10
    while psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
