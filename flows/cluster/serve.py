"""The process that holds the workers of a cluster: ``python -m flows.cluster.serve FOLDER``.

It is started for one campaign, and ends with it however that dies (it reads a pipe that only the campaign holds open); or by
``defect-surrogate cluster start``, and ends by ``stop``. Each pool starts when it is first asked for: a client says so by its
metadata, for which the scheduler has to be there, so that all schedulers are up from the beginning; jobs are submitted for work
alone. In the folder are the profile, ``cluster.json`` for clients, ``state.json`` for people, and ``jobs.json`` for whoever
cleans up after a process that was killed.
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import dask
import yaml

from flows.cluster.batch_systems import BATCH_SYSTEMS
from flows.cluster.jobs import LOGS, NAME, Place, quieten_distributed
from flows.cluster.pool import LEAVE_SECONDS, LOCAL_PERIOD, PERIOD, Pool
from flows.cluster.profile import ClusterProfile, read_profile
from flows.cluster.queue import cancel

PROFILE, CONNECTION, STATE, JOBS = "profile.yaml", "cluster.json", "state.json", "jobs.json"
END = "END"
"""File in the folder by which the process is told to end, from any machine."""
SIGN_SECONDS = 20.0
"""Seconds between two signs of life (our choice)."""
MORE_MEMORY = "reference-more-memory"
"""Pool of the jobs for units that ran out of memory."""
DETACHED = "--detached"

logger = logging.getLogger(__name__)


def pools_of(profile: ClusterProfile, place: Place) -> dict[str, Pool]:
    """Make the pools of a profile, by name.

    Parameters
    ----------
    profile
        Of the cluster.
    place
        Its folder.

    Returns
    -------
    dict of str to Pool
        One for each level of theory, and one with more memory if the profile has it.
    """
    pools = {level: Pool(profile, level, place, f"{NAME}-{level}") for level in ("surrogate", "reference")}
    more = profile.reference.more_memory
    if more is not None:
        pools[MORE_MEMORY] = Pool(profile, "reference", place, f"{NAME}-{MORE_MEMORY}", memory=more)
    return pools


async def cancel_left_jobs(folder: Path) -> list[str]:
    """Cancel the jobs that a process which was killed left behind.

    Parameters
    ----------
    folder
        With its ``jobs.json``.

    Returns
    -------
    list of str
        Their ids. Those that could not be cancelled stay in the file.
    """
    try:
        left = json.loads((folder / JOBS).read_text(encoding="utf-8"))
        system, ids = BATCH_SYSTEMS[left["scheduler"]], [str(one) for one in left["jobs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    _write_jobs(folder, left["scheduler"], await cancel(system, ids, seconds=LEAVE_SECONDS))
    return ids


async def serve(folder: Path, *, detached: bool) -> None:
    """Hold the pools of a folder's profile until told to end.

    Parameters
    ----------
    folder
        With ``profile.yaml``.
    detached
        Whether it goes on when standard input ends.
    """
    profile = read_profile(folder / PROFILE)
    place = Place(folder)
    place.make()
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    if not detached:
        threading.Thread(target=_wait_for_parent, args=(loop, ending), daemon=True).start()
    (folder / END).unlink(missing_ok=True)
    await cancel_left_jobs(folder)
    pools = pools_of(profile, place)
    addresses = {name: await pool.start() for name, pool in pools.items()}
    connection = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "addresses": addresses,
    }

    def note_jobs() -> None:
        _write_jobs(folder, profile.scheduler, (job for pool in pools.values() for job in pool.job_ids))

    def note_state() -> None:
        _write(folder / STATE, json.dumps({name: pool.state for name, pool in pools.items()}, indent=1))

    note_state()
    _write(folder / CONNECTION, json.dumps(connection))
    sign = asyncio.create_task(_show_life(folder / STATE))
    try:
        while not ending.is_set() and not (folder / END).exists():
            try:
                for pool in pools.values():
                    await pool.correct()
                note_jobs()
                note_state()
            except Exception:  # a full disk, for example: no reason to end jobs that work
                logger.exception("%s: tried again", folder)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), PERIOD if profile.scheduler in BATCH_SYSTEMS else LOCAL_PERIOD)
    finally:
        (folder / CONNECTION).unlink(missing_ok=True)
        sign.cancel()
        await asyncio.gather(*(pool.close() for pool in pools.values()))
        note_jobs()
        for name in (STATE, END):
            (folder / name).unlink(missing_ok=True)
        place.clean()
        shutil.rmtree(folder / "dask", ignore_errors=True)


async def _show_life(state: Path) -> None:
    """Touch the state, also while a batch system is slow to answer, or the disk is full."""
    while True:
        await asyncio.sleep(SIGN_SECONDS)
        with contextlib.suppress(OSError):
            os.utime(state)


def _wait_for_parent(loop: asyncio.AbstractEventLoop, ending: asyncio.Event) -> None:
    sys.stdin.buffer.read()
    loop.call_soon_threadsafe(ending.set)


def write_profile(profile: ClusterProfile, folder: Path) -> None:
    """Write the profile that ``serve`` reads.

    Parameters
    ----------
    profile
        Of the cluster.
    folder
        Made when missing, for its owner alone.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(folder / PROFILE, yaml.safe_dump(profile.model_dump(mode="json"), sort_keys=False))


def _write_jobs(folder: Path, scheduler: str, jobs: Iterable[str]) -> None:
    """Note the jobs that may be there, for whoever cleans up; no file if there are none."""
    ids = sorted(jobs)
    if ids:
        _write(folder / JOBS, json.dumps({"scheduler": scheduler, "jobs": ids}))
    else:
        (folder / JOBS).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def main() -> None:
    """Serve the folder that the command line names."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("flows").setLevel(logging.INFO)
    quieten_distributed()
    dask.config.set(
        {"distributed.comm.timeouts.connect": "60s", "distributed.scheduler.worker-ttl": "10 minutes"} | LOGS
    )
    asyncio.run(serve(Path(sys.argv[1]), detached=DETACHED in sys.argv[2:]))


if __name__ == "__main__":
    main()
