"""What a Prefect server has to know: the work pool and its queues, the deployments of prefect.yaml, the automations."""

import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists
from prefect.variables import Variable
from prefect.workers.process import ProcessWorker

from defect_surrogate.errors import ServiceError
from defect_surrogate.relaxation import digest
from flows.serve.automations import set_automations
from flows.serve.lost_runs import resume_lost_runs
from flows.serve.place import ROOT

logger = logging.getLogger(__name__)

POOL = "defect-surrogate"

QUEUES = {"high": 1, "normal": 2, "low": 3}
"""Queues of the pool and their priorities; what waits in a queue of a smaller number begins first."""

REGISTERED = "defect_surrogate_deployments"
"""Variable of Prefect that says which deployments its server has."""

PACKAGES = ("flows", "defect_surrogate")

PLACES = (Path(__file__).parents[2], Path(sys.prefix) / "share" / "defect-surrogate")
"""Where ``prefect.yaml`` is: in a checkout, or where the package was installed."""


def register(environment: Mapping[str, str], *, at_once: int, only_worker: bool) -> None:
    """Tell the Prefect server that is configured about pool, queues, deployments and automations.

    Deployments are updated when they have changed since: their schedules are then those of ``prefect.yaml`` again.

    Parameters
    ----------
    environment
        With the address of the server, and all that the flow runs get.
    at_once
        Flow runs of the pool that run at the same time.
    only_worker
        Whether all flow runs of the server are of this machine, so that those without a process can be told.

    Raises
    ------
    ServiceError
        If the server refuses, or ``prefect.yaml`` is not installed.
    """
    file = next((path / "prefect.yaml" for path in PLACES if (path / "prefect.yaml").is_file()), None)
    if file is None:
        raise ServiceError(
            f"prefect.yaml is in none of {', '.join(str(path) for path in PLACES)}: install the package anew"
        )
    with get_client(sync_client=True) as client:
        _set_pool(client, environment.get(ROOT), at_once)
        set_automations(client)
        if only_worker:
            resume_lost_runs(client)
    asked = _version(file)
    if Variable.get(REGISTERED) == asked:
        logger.info("deployments of %s are registered; their schedules stay as they are", file)
        return
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(command, env=dict(environment), cwd=file.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServiceError(f"the deployments could not be registered: {(done.stdout + done.stderr).strip()[-2000:]}")
    Variable.set(REGISTERED, asked, overwrite=True)
    logger.info("deployments of %s registered", file)


def _version(file: Path) -> str:
    """Digest of what the deployments are made of: ``prefect.yaml``, and when the flows and their settings were installed."""
    sources = [path for package in PACKAGES for path in (Path(__file__).parents[2] / package).rglob("*.py")]
    return digest([file.read_text(encoding="utf-8"), max(path.stat().st_mtime_ns for path in sources)])


def _set_pool(client: SyncPrefectClient, root: str | None, at_once: int) -> None:
    """Have the pool's flow runs work in the folder of the group, so that paths in forms are meant from there."""
    template = ProcessWorker.get_default_base_job_template()
    if root is not None:
        template["variables"]["properties"]["working_dir"]["default"] = root
    try:
        client.create_work_pool(
            WorkPoolCreate(name=POOL, type="process", base_job_template=template, concurrency_limit=at_once)
        )
    except ObjectAlreadyExists:
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template, concurrency_limit=at_once))
    there = {queue.name: queue for queue in client.read_work_queues(work_pool_name=POOL)}
    for name, priority in QUEUES.items():
        if name not in there:
            client.create_work_queue(name, work_pool_name=POOL, priority=priority)
