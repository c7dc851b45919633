"""A real Slurm on this machine: controller, node and authentication of its own, in one folder, gone with the tests."""

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=3
CompleteWait=0
ReturnToService=2
MpiDefault=none
NodeName=localhost CPUs=8 RealMemory=20000 State=UNKNOWN
PartitionName=cpu Nodes=localhost Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=gpu Nodes=localhost MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=localhost MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Slurm:
    """A controller and a node.

    Attributes
    ----------
    root
        Folder of its configuration, state and logs.
    """

    root: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What its commands need."""
        return {"SLURM_CONF": str(self.root / "slurm.conf")}

    def start(self) -> None:
        """Start it, and wait until its node is there."""
        for name in ("state", "spool"):
            (self.root / name).mkdir(parents=True)
        text = CONFIGURATION.format(root=self.root, controller=free_port(), node=free_port())
        (self.root / "slurm.conf").write_text(text)
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        names = {"socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log", "seed-file": "munge.seed"}
        paths = [f"--{option}={self.root / name}" for option, name in names.items()]
        self._start("munged", "--foreground", "--force", f"--key-file={key}", *paths)
        self._wait((self.root / "munge.socket").exists, "munge's socket")
        self.start_controller()
        self.start_node()
        self._wait(lambda: "idle" in self.run("sinfo", "--noheader", "--format=%T"), "an idle node")

    def start_controller(self) -> None:
        """Start the controller."""
        self._start("slurmctld", "-D", "-i")

    def start_node(self) -> None:
        """Start the node."""
        self._start("slurmd", "-D", "-N", "localhost")

    def kill(self, name: str) -> None:
        """Kill a daemon with -9."""
        process = self._running.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def run(self, *command: str) -> str:
        """Run one of its commands, and return what it prints; empty if it fails."""
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=os.environ | self.environment, timeout=60
        )
        return done.stdout if done.returncode == 0 else ""

    def jobs(self) -> list[tuple[str, str, str]]:
        """Id, name and state of the jobs that have not ended."""
        lines = self.run("squeue", "--noheader", "--format=%i|%j|%T").splitlines()
        return [tuple(line.split("|")) for line in lines]  # type: ignore[misc]

    def stop(self) -> None:
        """Cancel what is left, and end the daemons."""
        self.run("scancel", "--user=root", "--full", "--signal=KILL")
        self.run("scancel", "--user=root")
        time.sleep(1)
        for name in ("slurmd", "slurmctld", "munged"):
            process = self._running.pop(name, None)
            if process is not None:
                process.terminate()
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _start(self, name: str, *arguments: str) -> None:
        path = shutil.which(name) or f"/usr/sbin/{name}"
        with (self.root / f"{name}.out").open("ab") as out:
            self._running[name] = subprocess.Popen(
                [path, *arguments], stdout=out, stderr=out, env=os.environ | self.environment, start_new_session=True
            )

    def _wait(self, condition, what: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                logs = "\n".join(file.read_text(errors="replace")[-800:] for file in self.root.glob("*.out"))
                raise RuntimeError(f"Slurm: no {what} after {seconds:g} s\n{logs}")
            time.sleep(0.1)
