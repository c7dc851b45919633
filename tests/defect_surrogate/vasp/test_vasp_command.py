import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import check_executable
from defect_surrogate.vasp.command import find_command, guarded_command


def test_stand_in_is_found_beside_python_where_path_has_it_not(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = check_executable(ReferenceSettings())
    assert found == Path(sys.executable).parent / "vasp-xtb"


def test_stand_in_is_found_behind_a_launcher():
    command = find_command(["env", "A=1", "vasp-xtb"])
    assert [Path(word).name for word in command] == ["env", "A=1", "vasp-xtb"]
    assert Path(command[2]).is_absolute()
    assert check_executable(ReferenceSettings(vasp_cmd=["env", "A=1", "vasp-xtb"])).name == "vasp-xtb"


def test_missing_executable_says_what_to_do():
    with pytest.raises(
        ReferenceInputError, match=r"no executable 'vasp_gam_missing' on PATH: load the module.*vasp-xtb"
    ):
        check_executable(ReferenceSettings(vasp_cmd=["vasp_gam_missing"]))


def test_file_without_permission_is_no_executable(tmp_path):
    (tmp_path / "vasp_std").write_text("#!/bin/sh\n")
    with pytest.raises(ReferenceInputError, match="vasp_std"):
        check_executable(ReferenceSettings(vasp_cmd=[str(tmp_path / "vasp_std")]))


def test_threads_are_those_asked_for_or_the_environments():
    assert "OMP_NUM_THREADS=4" in guarded_command(["vasp-xtb"], threads=4)
    assert not any("THREADS" in word for word in guarded_command(["vasp_gam"], threads=None))


def test_guard_keeps_process_and_exit_code():
    script = "import os; print(os.getpid()); raise SystemExit(7)"
    for threads in (1, None):
        process = subprocess.Popen(
            guarded_command([sys.executable, "-c", script], threads=threads), stdout=subprocess.PIPE, text=True
        )
        output, _ = process.communicate(timeout=30)
        assert (process.returncode, int(output)) == (7, process.pid)


@pytest.mark.parametrize("threads", [1, None])
def test_executable_dies_with_a_worker_killed_by_sigkill(threads):
    worker = (
        "import subprocess, sys, time\n"
        "from defect_surrogate.vasp.command import guarded_command\n"
        "child = subprocess.Popen(guarded_command(['sleep', '300'], "
        f"threads={threads}), start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    _wait_for(lambda: "sleep" in Path(f"/proc/{child}/comm").read_text())
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    _wait_for(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
