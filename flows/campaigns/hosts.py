"""The hosts of a campaign searched: each as a Prefect flow, on workers that they share."""

from collections.abc import Callable, Mapping
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from flows.allowance import Allowance
from flows.artifacts import publish_artifacts
from flows.campaigns.folder import CampaignFolder, Done, asked_for, write_done
from flows.campaigns.history import Found, HostEntry, HostState, found_in
from flows.campaigns.settings import PRIORITIES, Campaign
from flows.lock import locked
from flows.relaxing import relaxers
from flows.results import failure_count, unfinished_count
from flows.run_folder import create_run
from flows.search_host import search_in
from flows.side_by_side import side_by_side


def search_hosts(
    hosts: Mapping[str, str],
    folder: CampaignFolder,
    campaign: Campaign,
    *,
    allowance: Allowance,
    try_again: bool,
    ended: dict[str, HostEntry],
    found: dict[str, Found],
    unit: Callable[[], None],
) -> dict[str, str]:
    """Search hosts of a campaign, side by side if asked.

    Parameters
    ----------
    hosts
        File of each, or its Materials Project id, by name.
    folder
        Of the campaign.
    campaign
        Its settings.
    allowance
        Of the night.
    try_again
        Whether units that broke in an earlier run are tried again.
    ended, found
        What became of each, and what was found, are added to these.
    unit
        Is called whenever a unit has ended.

    Returns
    -------
    dict of str to str
        What hosts were lost with, by name.
    """

    def search(name: str) -> None:
        ended[name], new = search_campaign_host(hosts[name], str(folder.host(name)), campaign)
        found.update(new)

    with relaxers(
        folder,
        campaign.search.workers,
        allowance=allowance,
        priority=PRIORITIES[campaign.priority],
        ended=unit,
        try_again=try_again,
    ):
        return side_by_side(
            list(hosts), search, what="host", at_once=campaign.hosts_at_once, request_stop=folder.request_stop
        )


def host_name() -> str:
    """Return the name of a run of ``search_campaign_host``: that of the host."""
    return Path(str(flow_run.parameters["folder"])).name


@flow(name="search-campaign-host", flow_run_name=host_name, persist_result=False)
def search_campaign_host(source: str, folder: str, campaign: Campaign) -> "tuple[HostEntry, dict[str, Found]]":
    """Search the vacancies of a host of a campaign.

    Parameters
    ----------
    source
        File of the host, or its Materials Project id.
    folder
        Of the host, in that of its campaign.
    campaign
        Whose settings are used.

    Returns
    -------
    tuple of HostEntry, and dict of str to Found
        What became of it, and what was found.
    """
    path = Path(folder)
    asked = asked_for(source, campaign.search)
    with locked(path):
        run = create_run(path, source, campaign.search, shared_archive=path.parents[3] / "archive")
        before = set(run.failures())
        report = search_in(run)
        failed, unfinished = failure_count(report), unfinished_count(report)
        finished = len(run.units()) - failed - unfinished
        broke = set(run.failures()) - before
        write_done(path, Done(asked, finished, failed, unfinished))
    publish_artifacts(report, path)
    state: HostState = "broke" if broke else "budget" if unfinished else "finished"
    return HostEntry(path.name, state, finished, failed, unfinished), found_in(report)
