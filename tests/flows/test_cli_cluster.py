"""Workers that campaigns share: started, looked at and ended from the command line, also from another machine."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli_cluster import app
from flows.cluster import process


@pytest.fixture
def run(tmp_path):
    profile = tmp_path / "local.yaml"
    profile.write_text("scheduler: local\n")

    def call(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    yield call
    call("stop", tmp_path / "workers")


def test_workers_are_started_once_and_ended(run, tmp_path):
    profile, folder = tmp_path / "local.yaml", tmp_path / "workers"
    assert "no workers run there" in run("status", folder).stderr
    assert "ready" in run("start", profile, "--folder", folder).stdout
    again = run("start", profile, "--folder", folder)
    assert again.exit_code != 0
    assert "workers run there already, from" in again.stderr
    deadline = time.monotonic() + 20
    while (state := run("status", folder, "--json")).exit_code != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert set(json.loads(state.stdout)) == {"surrogate", "reference"}
    assert "reference                0 workers, 0 jobs wait, 0 wanted" in run("status", folder).stdout
    assert "ended" in run("stop", folder).stdout
    assert {path.name for path in folder.iterdir()} == {".now", "logs", "profile.yaml", "serve.log"}  # no key either
    assert run("stop", folder).exit_code != 0


def test_workers_held_on_another_machine_are_not_destroyed(run, tmp_path):
    profile, folder = tmp_path / "local.yaml", tmp_path / "workers"
    folder.mkdir()
    (folder / "cluster.json").write_text(json.dumps({"pid": 1, "host": "login-2", "addresses": {}}))
    (folder / "state.json").write_text("{}")
    refused = run("start", profile, "--folder", folder)
    assert refused.exit_code != 0
    assert "from login-2" in refused.stderr
    assert (folder / "cluster.json").exists()
    silent = time.time() - process.SILENT_SECONDS - 60
    os.utime(folder / "state.json", (silent, silent))
    assert process.served_on(folder) is None
    assert run("start", profile, "--folder", folder).exit_code == 0


def test_a_service_holds_workers_in_the_foreground_until_it_is_told_to_end(run, tmp_path):
    profile, folder = tmp_path / "local.yaml", tmp_path / "workers"
    command = [
        Path(sys.executable).parent / "defect-surrogate",
        "cluster",
        "start",
        profile,
        "--folder",
        folder,
        "--foreground",
    ]
    service = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while run("status", folder).exit_code != 0:
            assert service.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert json.loads((folder / "cluster.json").read_text())["pid"] == service.pid
        service.terminate()
        assert service.wait(timeout=30) == 0
    finally:
        service.kill()
        service.wait()
    assert run("status", folder).exit_code != 0
