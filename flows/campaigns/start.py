"""Starting a campaign from the command line: here and now, or by the service of the group, where it is begun once."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from defect_surrogate.crystal_files import check_crystal, read_crystal
from defect_surrogate.errors import HeldError, InputError, ServiceError, SettingsError, StoppedError
from defect_surrogate.relaxation import digest
from flows.campaigns.folder import ServiceFolder, campaign_of
from flows.campaigns.settings import Campaign, hosts_of, resolved
from flows.campaigns.twice import runs_already
from flows.driver import served
from flows.lock import is_free
from flows.serve.place import SERVICE_FILE, client_environment, read_addresses

if TYPE_CHECKING:
    from flows.campaigns.history import Entry

logger = logging.getLogger(__name__)


def run_here(campaign: Campaign, root: Path) -> tuple[str, str, bool]:
    """Run a campaign in this process, in the dashboard of the service if that runs.

    Parameters
    ----------
    campaign
        With absolute paths.
    root
        Folder of the group; made when missing.

    Returns
    -------
    tuple of str, str and bool
        State in which it ended, what there is to say of it, and whether anything broke.

    Raises
    ------
    StoppedError
        If it is ended on request.
    DefectSurrogateError
        If it cannot be run at all.
    """
    root = root.absolute()
    _refuse_unreadable(campaign)
    speak_with_service(root, needed=False)
    folder = ServiceFolder(root).campaign(campaign.name)
    try:
        with served(folder.path, campaign.search.workers.cluster) as server:
            from flows.campaigns.run import run_campaign  # noqa: PLC0415
            from flows.campaigns.summary import broken_count  # noqa: PLC0415

            with server.ready():
                state = run_campaign(campaign, str(root), return_state=True)
                if state.is_cancelled():
                    raise StoppedError(str(state.message))
                entry = cast("Entry | None", state.result())
    except HeldError:
        return "Already running", runs_already(resolved(campaign, root), folder), False
    return str(state.name), str(state.message), entry is not None and broken_count(entry) > 0


def submitted(campaign: Campaign, root: Path) -> str:
    """Have the service run a campaign, once: what waits or runs already is not begun again.

    Parameters
    ----------
    campaign
        With absolute paths.
    root
        Folder of the group, as the service has it.

    Returns
    -------
    str
        What became of it, with the address of its flow run.

    Raises
    ------
    InputError
        If no host can be read, or a campaign of this name waits or runs with other settings.
    ServiceError
        If no service answers.
    """
    _refuse_unreadable(campaign)
    speak_with_service(root.absolute(), needed=True)
    import httpx  # noqa: PLC0415
    from prefect.client.orchestration import get_client  # noqa: PLC0415  (reads the environment at import)
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415

    from flows.campaigns.queue import DEPLOYMENT, latest_end, open_runs, tags_of  # noqa: PLC0415

    content = campaign.model_dump(mode="json")
    try:
        with get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
            there = open_runs(client, campaign.name)
            if any(_resolved_again(one.parameters["campaign"], root) != content for one in there):
                raise InputError(
                    f"{campaign.name}: waits or runs with other settings ({there[0].name}); wait for its end, cancel it in the "
                    "dashboard, or choose another name"
                )
            run = (
                there[0]
                if there
                else client.create_flow_run_from_deployment(
                    deployment.id,
                    parameters={"campaign": content},
                    tags=tags_of(campaign.name),
                    work_queue_name=campaign.priority,
                    idempotency_key=f"{campaign.name}-{digest(content)}-{latest_end(client, campaign.name)}",
                )
            )
    except ObjectNotFound as error:
        raise ServiceError(f"the Prefect server has no deployment {DEPLOYMENT}: defect-surrogate register") from error
    except (OSError, httpx.HTTPError) as error:
        raise ServiceError(f"no Prefect server answers at {os.environ['PREFECT_API_URL']}: {error}") from error
    address = f"{os.environ['PREFECT_API_URL'].removesuffix('/api')}/runs/flow-run/{run.id}"
    words = "waits or runs already" if there else "submitted"
    return f"{campaign.name}: {words}: {address}"


def _resolved_again(content: dict[str, Any], root: Path) -> dict[str, Any] | None:
    """Return what a run was started with, as if it was submitted: paths in the form are meant from the group's folder."""
    try:
        return resolved(Campaign.model_validate(content), root.absolute()).model_dump(mode="json")
    except (ValueError, SettingsError):
        return None


def end_waiting_runs(path: Path) -> int:
    """Cancel what waits of a campaign in the service, or is to be resumed; what runs is not ended by this.

    Parameters
    ----------
    path
        Folder of the campaign, or of something else, which nothing waits for.

    Returns
    -------
    int
        How many.
    """
    folder = campaign_of(path)
    if folder is None:
        return 0
    root = folder.archive_root.parent
    speak_with_service(root, needed=False)
    if not os.environ.get("PREFECT_API_URL"):
        if (root / SERVICE_FILE).exists():
            logger.warning("the service does not run: a run of %s that waits there will begin with it", folder.name)
        return 0
    import httpx  # noqa: PLC0415
    from prefect.client.orchestration import get_client  # noqa: PLC0415  (reads the environment at import)

    from flows.campaigns.queue import end_waiting  # noqa: PLC0415

    try:
        with get_client(sync_client=True) as client:
            return end_waiting(client, folder.name)
    except (OSError, httpx.HTTPError) as error:
        logger.warning("no Prefect server answers: a run of %s that waits there will begin: %s", folder.name, error)
        return 0


def speak_with_service(root: Path, *, needed: bool) -> None:
    """Point Prefect to the service of a folder if it runs, unless the environment names a server; before Prefect is imported.

    Parameters
    ----------
    root
        Folder of the group.
    needed
        Whether it is an error if no service was ever started there, and no reason to go on without it that it does not run.

    Raises
    ------
    ServiceError
        If that is so.
    """
    runs = (root / SERVICE_FILE).exists() and not is_free(root)
    if os.environ.get("PREFECT_API_URL") or not (needed or runs):
        return
    os.environ.update(client_environment(root, read_addresses(root)))


def _refuse_unreadable(campaign: Campaign) -> None:
    """Refuse a campaign of which no host can be used, before anything is queued."""
    hosts, wrong = hosts_of(campaign)
    faults = [f"{Path(source).name}: {message}" for source, message in wrong.items()]
    for source in hosts.values():
        try:
            check_crystal(*read_crystal(source))
        except InputError as error:
            faults.append(str(error))
    if faults and len(faults) >= len(hosts) + len(wrong):
        raise InputError(f"{campaign.name}: no host can be used: {'; '.join(faults)}")
