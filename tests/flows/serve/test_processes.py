"""The processes of the service; that they start, and work, is tested in tests/services."""

import subprocess
import sys
import time

import psutil
import pytest

from defect_surrogate.errors import HeldError, ServiceError
from flows.lock import locked
from flows.serve.processes import Ports, Service, _Child, running_service


def test_addresses_are_those_of_the_ports():
    addresses = Ports(4300, 4301).addresses
    assert (addresses.api, addresses.reports) == ("http://127.0.0.1:4300/api", "http://127.0.0.1:4301")


def test_a_second_service_in_a_folder_is_refused(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(HeldError, match="runs already"),
        running_service(tmp_path, Ports(), at_once=1),
    ):
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
