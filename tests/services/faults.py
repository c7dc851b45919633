"""Campaigns that are harmed, one fault each, and what became of them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from campaigns import Campaign, until
from harm import HARM, kill_driver
from slurm import free_port
from tiny_search import COMMAND

CELLS = 8
"""Units of a campaign that is harmed."""


@dataclass(frozen=True)
class Told:
    """What became of a campaign that was harmed.

    Attributes
    ----------
    tally
        Units lost, computed twice and believed wrongly.
    seconds
        Wall time of all its drivers.
    note
        What was seen.
    """

    tally: dict[str, int]
    seconds: float
    note: str


Make = Callable[..., Campaign]


def told(one: Campaign, began: float, note: str, *, missing: int = 0) -> Told:
    """Count what is there, less units that are to be missing."""
    tally = one.tally()
    tally["lost"] -= missing
    return Told(tally, time.monotonic() - began, note)


def unharmed(make: Make) -> Told:
    """Do nothing, to compare times with."""
    one, began = make(cells=CELLS), time.monotonic()
    assert one.wait(one.start()) == 0, one.log[-3000:]
    return told(one, began, "")


def harmed(make: Make, harm: Callable[[Campaign], None]) -> Told:
    """Harm a campaign once two units are finished."""
    one, began = make(cells=CELLS), time.monotonic()
    driver = one.start()
    one.wait_for(2, driver)
    harm(one)
    assert one.wait(driver) == 0, one.log[-3000:]
    return told(one, began, f"{one.log.count('tried again')} tries more")


def driver_killed(make: Make) -> Told:
    """Kill the driver with -9, and resume."""
    one, began = make(cells=CELLS), time.monotonic()
    driver = one.start()
    one.wait_for(2, driver)
    before = one.finished()
    driver = kill_driver(one, driver)
    assert one.wait(driver) == 0, one.log[-3000:]
    after = one.finished()
    assert {name: after[name] for name in before} == before
    return told(one, began, f"{len(before)} units were finished before, and were not touched")


def walltime(make: Make) -> Told:
    """Relaxations that hang until Slurm ends their jobs."""
    one, began = (
        make(
            cells=0,
            defects=True,
            incar={"EDIFFG": -0.2},
            reference={"walltime": "00:01:00", "margin": 1, "jobs": {"maximum": 5, "idle": 5}},
            environment={"VASP_XTB_FAULT": "hang@9?"},
        ),
        time.monotonic(),
    )
    assert one.wait(one.start(), 400) == 0, one.log[-3000:]
    details = [record.relaxation.detail for record in one.archive.records()]
    chained = sum("earlier runs" in detail for detail in details)
    assert chained > 0
    assert "TIMEOUT" in one.log
    return told(
        one, began, f"{one.log.count('TIMEOUT')} jobs ended by TIMEOUT, {chained} of 5 relaxations over several"
    )


def memory(make: Make) -> Told:
    """Runs that take more memory than their jobs have."""
    one, began = (
        make(
            cells=2,
            reference={"memory": "1200 MB", "more_memory": "6 GB"},
            environment={"VASP_XTB_FAULT": "take-memory@1"},
        ),
        time.monotonic(),
    )
    assert one.wait(one.start()) == 0, one.log[-3000:]
    count = one.log.count("tried again with more memory")
    assert count > 0
    return told(one, began, f"{count} units tried with more")


def spoilt(make: Make, fault: str) -> Told:
    """Outputs that cannot be believed, and a second start without the fault."""
    one, began = make(cells=4, environment={"VASP_XTB_FAULT": fault}), time.monotonic()
    assert one.wait(one.start()) == 1, one.log[-3000:]
    assert one.finished() == {}
    one.environment["VASP_XTB_FAULT"] = ""
    assert one.wait(one.start()) == 0, one.log[-3000:]
    return told(one, began, "none was archived; a second start did")


def poisoned(make: Make) -> Told:
    """A unit that kills its worker each time."""
    one = make(cells=CELLS)
    began = time.monotonic()
    wrapper = one.root / "vasp-xtb"
    wrapper.write_text(
        "#!/bin/bash\n"
        'if grep -q Strained_03 "$PWD/../attempt.json"; then kill -9 $PPID; sleep 60; fi\n'
        f'exec {Path(sys.executable).parent / "vasp-xtb"} "$@"\n'
    )
    wrapper.chmod(0o755)
    one.change(reference={"vasp_cmd": [str(wrapper)]})
    assert one.wait(one.start()) == 1, one.log[-3000:]
    (failure,) = one.archive.failures()
    assert "quarantined until resume" in failure.message
    return told(one, began, "quarantined after 3 tries; all others are there", missing=1)


def two_campaigns(make: Make) -> Told:
    """Two campaigns with the same units on one archive."""
    one, other = make(cells=CELLS), make(cells=CELLS)
    began = time.monotonic()
    one.archive  # noqa: B018  (makes it)
    other.run.mkdir()
    (other.run / "archive").symlink_to(one.run / "archive")
    drivers = [each.start() for each in (one, other)]
    assert [each.wait(driver) for each, driver in zip((one, other), drivers, strict=True)] == [0, 0], one.log[-3000:]
    return told(one, began, f"{one.log.count('another campaign') + other.log.count('another campaign')} of them waited")


def cancelled_unheard(make: Make) -> Told:
    """A campaign interrupted while the batch system answers nobody; its jobs wait in the queue."""
    one, began = make(cells=CELLS), time.monotonic()
    one.slurm.run("scontrol", "update", "PartitionName=cpu", "State=DOWN")
    try:
        driver = one.start()
        until(lambda: len(one.jobs("PENDING")) == 2, "both jobs waiting")
        time.sleep(5)  # until sbatch has answered, too
        one.slurm.kill("slurmctld")
        os.kill(driver.pid, signal.SIGTERM)
        assert one.wait(driver) == 130, one.log[-3000:]
        noted = set(json.loads((one.run / "workers" / "jobs.json").read_text())["jobs"])
        one.slurm.start_controller()
        until(lambda: set(one.jobs()) == noted, "the jobs in the queue")
        environment = os.environ | one.slurm.environment
        subprocess.run(
            [*COMMAND, "cancel", str(one.run)], check=True, capture_output=True, env=environment, timeout=120
        )
        until(lambda: not one.jobs(), "no job", 30)
        assert not (one.run / "workers" / "jobs.json").exists()
    finally:
        one.slurm.run("scontrol", "update", "PartitionName=cpu", "State=UP")
    assert one.wait(one.start()) == 0, one.log[-3000:]
    return told(one, began, f"{len(noted)} jobs were noted, and cancelled by the next cancel; resumed")


def full_disk(make: Make) -> Told:
    """A disk that is full for a while."""
    one, began = make(cells=CELLS), time.monotonic()
    one.run.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(one.run)], check=True)
    try:
        driver = one.start()
        one.wait_for(2, driver)
        filler = one.run / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as stream:
            while True:
                stream.write(bytes(2**16))
                stream.flush()
        code = one.wait(driver)
        filler.unlink()
        if code != 0:
            assert one.wait(one.start()) == 0, one.log[-3000:]
        return told(one, began, f"the driver ended with {code}" + ("; resumed when there was room" if code else ""))
    finally:
        subprocess.run(["umount", "--lazy", str(one.run)], check=False)


def prefect_killed(make: Make) -> Told:
    """A Prefect server that is killed, and comes back."""
    one, began = make(cells=CELLS), time.monotonic()
    server = PrefectServer(one.root / "server")
    one.environment |= server.start()
    driver = one.start()
    one.wait_for(2, driver)
    server.kill()
    time.sleep(8)
    server.start()
    code = one.wait(driver)
    if code != 0:
        assert one.wait(one.start()) == 0, one.log[-3000:]
    server.kill()
    return told(one, began, f"the driver ended with {code}" + ("; resumed" if code else ""))


class PrefectServer:
    """A server that is no child of the campaign."""

    def __init__(self, home: Path) -> None:
        self._home, self._port = home, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, str]:
        """Start it, and return what its clients need."""
        url = f"http://127.0.0.1:{self._port}/api"
        environment = os.environ | {"PREFECT_HOME": str(self._home), "DO_NOT_TRACK": "1"}
        command = [
            str(Path(sys.executable).parent / "prefect"),
            "server",
            "start",
            "--port",
            str(self._port),
            "--no-services",
        ]
        with (self._home.parent / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

        def healthy() -> bool:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
            return False

        until(healthy, "a Prefect server", 90)
        return {"PREFECT_API_URL": url}

    def kill(self) -> None:
        """Kill it with -9."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


STORIES: dict[str, Callable[[Make], Told]] = {
    **{name: partial(harmed, harm=harm) for name, harm in HARM.items()},
    "driver killed with -9, resumed": driver_killed,
    "TIMEOUT with continuation": walltime,
    "OUT_OF_MEMORY": memory,
    "Prefect server killed and restarted": prefect_killed,
    "cancelled while the batch system is stopped": cancelled_unheard,
    "full disk": full_disk,
    "vasprun.xml truncated": partial(spoilt, fault="truncated-vasprun.xml@1"),
    "OUTCAR truncated": partial(spoilt, fault="truncated-OUTCAR@1"),
    "forces not a number": partial(spoilt, fault="nan-forces@1"),
    "two campaigns on one archive at once": two_campaigns,
    "poisoned unit": poisoned,
}
"""All faults, each with a campaign of its own."""

EXPECTED: dict[str, str] = {
    "worker killed in the middle of a relaxation": "one more try, in another worker",
    "job cancelled from outside (scancel)": "another job, and one more try",
    "waiting jobs cancelled from outside": "other jobs",
    "preemption with requeue": "one more try where it is requeued, or in another job",
    "node drained": "what runs goes on, what waits waits",
    "node down": "other jobs when it is back",
    "controller of the batch system stopped for a while": "what runs goes on, nothing is believed about jobs meanwhile",
    "Dask scheduler killed": "started again; what was on its way is computed again",
    "driver killed with -9, resumed": "no job and no process is left; resume computes what is missing",
    "TIMEOUT with continuation": "the next job goes on from the last ionic step",
    "OUT_OF_MEMORY": "once more in a job with more memory",
    "Prefect server killed and restarted": "the driver waits for it, or ends and is resumed",
    "cancelled while the batch system is stopped": "jobs that wait are noted, and cancelled when it is back",
    "full disk": "nothing half-written is archived; resumed when there is room",
    "vasprun.xml truncated": "refused; computed when asked again",
    "OUTCAR truncated": "refused; computed when asked again",
    "forces not a number": "refused; computed when asked again",
    "two campaigns on one archive at once": "each unit is computed by one of them",
    "poisoned unit": "quarantined after three tries; the others finish",
}
"""What is to become of each campaign."""
