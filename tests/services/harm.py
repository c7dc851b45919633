"""Faults of jobs, nodes, daemons and drivers: each harms a running campaign, and waits until the harm is done."""

import contextlib
import os
import signal
import subprocess
import time

import psutil
from campaigns import Campaign, until

Driver = subprocess.Popen[bytes]


def kill_worker(one: Campaign) -> None:
    """Kill the Dask worker of a relaxation."""
    until(one.executables, "an executable")
    for _ in range(20):
        with contextlib.suppress(psutil.Error, IndexError, StopIteration):
            parents = one.executables()[0].parents()
            next(parent for parent in parents if "spawn_main" in " ".join(parent.cmdline())).kill()
            return
        time.sleep(0.2)
    raise AssertionError("no worker was killed")


def cancel_job(one: Campaign) -> None:
    """``scancel`` a job that runs."""
    until(lambda: one.jobs("RUNNING"), "a running job")
    one.slurm.run("scancel", one.jobs("RUNNING")[0])


def cancel_waiting_job(one: Campaign) -> None:
    """``scancel`` jobs that wait: no worker of theirs was ever there."""
    one.slurm.run("scontrol", "update", "PartitionName=cpu", "State=DOWN")
    try:
        one.slurm.run("scancel", *one.jobs())
        until(lambda: one.jobs("PENDING"), "a waiting job")
        one.slurm.run("scancel", *one.jobs())
    finally:
        one.slurm.run("scontrol", "update", "PartitionName=cpu", "State=UP")


def preempt(one: Campaign) -> None:
    """Have a job of a partition with priority take the node; what runs is requeued."""
    until(lambda: one.jobs("RUNNING"), "a running job")
    one.slurm.run(
        *("sbatch", "--partition=urgent", "--ntasks=8", "--job-name=urgent", "--output=/dev/null", "--wrap", "sleep 5")
    )
    until(lambda: any(name == "urgent" and state == "RUNNING" for _, name, state in one.slurm.jobs()), "the urgent job")
    until(lambda: not any(name == "urgent" for _, name, _ in one.slurm.jobs()), "its end")


def drain_node(one: Campaign) -> None:
    """Drain the node for a while: what runs goes on, what waits waits."""
    one.slurm.run("scontrol", "update", "NodeName=localhost", "State=DRAIN", "Reason=test")
    time.sleep(5)
    one.slurm.run("scontrol", "update", "NodeName=localhost", "State=RESUME")


def down_node(one: Campaign) -> None:
    """Take the node down with the jobs on it, and back."""
    until(lambda: one.jobs("RUNNING"), "a running job")
    one.slurm.run("scontrol", "update", "NodeName=localhost", "State=DOWN", "Reason=test")
    time.sleep(5)
    one.slurm.run("scontrol", "update", "NodeName=localhost", "State=RESUME")


def stop_controller(one: Campaign) -> None:
    """Kill Slurm's controller; nobody answers for a while."""
    one.slurm.kill("slurmctld")
    time.sleep(15)
    one.slurm.start_controller()
    until(lambda: one.slurm.run("sinfo", "--noheader"), "the controller")


def kill_dask_scheduler(one: Campaign) -> None:
    """Kill the process that holds the Dask schedulers and the jobs."""
    serving = [process for process in one.processes() if "flows.cluster.serve" in " ".join(process.cmdline())]
    serving[0].kill()


def kill_driver(one: Campaign, driver: Driver) -> Driver:
    """Kill the driver, wait until all of it is gone, and resume."""
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    until(lambda: not one.jobs() and not one.processes() and not one.executables(), "no job and no process")
    return one.start()


HARM = {
    "worker killed in the middle of a relaxation": kill_worker,
    "job cancelled from outside (scancel)": cancel_job,
    "waiting jobs cancelled from outside": cancel_waiting_job,
    "preemption with requeue": preempt,
    "node drained": drain_node,
    "node down": down_node,
    "controller of the batch system stopped for a while": stop_controller,
    "Dask scheduler killed": kill_dask_scheduler,
}
"""Faults that the driver lives through."""
