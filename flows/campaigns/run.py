"""A campaign as a Prefect flow, the search of one of its hosts, and the run of all campaign files of a group every night."""

import logging
from pathlib import Path
from typing import Annotated

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed

from defect_surrogate.errors import HeldError, InputError
from defect_surrogate.reports.files import CAMPAIGN_FILE
from defect_surrogate.reports.files import read_campaign as read_report
from flows.allowance import Allowance
from flows.campaigns.events import Progress, tell
from flows.campaigns.folder import CampaignFolder, ServiceFolder, asked_for, read_done
from flows.campaigns.history import Entry, Found, HostEntry, begin_entry, end_entry, found_in, read_history
from flows.campaigns.settings import PRIORITIES, Campaign, hosts_of, read_campaign, resolved
from flows.campaigns.summary import broken_count, publish_campaign, state_of
from flows.described import described
from flows.lock import locked
from flows.progress import show_own_lines
from flows.resumed import begin_again
from flows.run_folder import WorkFolder

logger = logging.getLogger(__name__)

Service = Annotated[str, described("Folder of the group, with the archive; that of the worker when left as it is.")]
TryAgain = Annotated[bool, described("Also try again what broke before.", kind="boolean")]


def campaign_name() -> str:
    """Return the name of a run of ``run_campaign``: that of the campaign."""
    return str(flow_run.parameters["campaign"].name)


@flow(name="run-campaign", flow_run_name=campaign_name, persist_result=False)
def run_campaign(campaign: Campaign, service: Service = ".", try_again: TryAgain = True) -> "State[Entry | None]":
    """Search the hosts of a campaign, as far as the archive of the group lacks them.

    Started twice at once it runs once. One host that is lost does not end the others.

    Parameters
    ----------
    campaign
        Hosts, settings, budget of a night. Relative paths are meant from the folder of the group.
    service
        Folder of the group.
    try_again
        Whether units that broke in an earlier run are tried again.

    Returns
    -------
    State of Entry
        What the run did, as in the history of the campaign; None where it runs already.
    """
    show_own_lines()
    begin_again()
    place = ServiceFolder(Path(service).absolute())
    campaign = resolved(campaign, place.root)
    folder = place.campaign(campaign.name)
    try:
        with locked(folder.path):
            entry = _run(campaign, folder, try_again=try_again)
    except HeldError:
        return _runs_already(campaign, folder)
    name, message = state_of(entry)
    return Completed(name=name, message=message, data=entry)


@flow(name="nightly", persist_result=False)
def nightly(service: Service = ".") -> dict[str, str]:
    """Run all campaign files of a group, those of high priority first. What broke before is not tried again.

    Parameters
    ----------
    service
        Folder of the group, with its files in ``campaigns``.

    Returns
    -------
    dict of str to str
        What campaigns were lost with, by name of the file.
    """
    show_own_lines()
    begin_again()
    place = ServiceFolder(Path(service).absolute())
    campaigns, lost = dict[str, Campaign](), dict[str, str]()
    for file in place.campaign_files():
        try:
            campaigns[file.name] = read_campaign(file)
        except InputError as error:
            logger.error("%s", error)
            lost[file.name] = str(error)
    if not campaigns:
        logger.info("%s: no campaign file there", place.root / "campaigns")
    for name in sorted(campaigns, key=lambda name: -PRIORITIES[campaigns[name].priority]):
        try:
            run_campaign(campaigns[name], service, try_again=False)
        except Exception as error:
            logger.error("%s: lost: %s", name, error)
            lost[name] = f"{type(error).__name__}: {error}"
    return lost


def _run(campaign: Campaign, folder: CampaignFolder, *, try_again: bool) -> Entry:
    """Search the hosts of a campaign whose folder is held."""
    hosts, wrong = hosts_of(campaign)
    folder.archive.clear_dead_attempts()
    folder.clear_stop_request()
    entry = begin_entry(folder, campaign, flow_run.get_id())
    tell(campaign.name, "began", hosts=len(hosts))
    ended: dict[str, HostEntry] = {}
    found: dict[str, Found] = {}
    for name, source in hosts.items():
        if (before := _as_before(folder, name, asked_for(source, campaign.search), try_again=try_again)) is not None:
            ended[name] = before
            found |= found_in(read_report(folder.host(name) / CAMPAIGN_FILE))

    budget = campaign.budget
    allowance = Allowance(folder.spent, relaxations=budget.reference_relaxations, core_hours=budget.core_hours)
    missing = {name: source for name, source in hosts.items() if name not in ended}
    lost: dict[str, str] = {}
    with Progress(campaign.name) as progress:
        if missing:
            from flows.campaigns.hosts import search_hosts  # noqa: PLC0415  (takes seconds, and 500 MB)

            lost = search_hosts(
                missing, folder, campaign, allowance=allowance, ended=ended, found=found, unit=progress.unit
            )
    ended |= {name: HostEntry(name, "lost", message=message) for name, message in (wrong | lost).items()}
    entry = end_entry(
        folder, entry, hosts=[ended[name] for name in (*hosts, *wrong)], found=found, spent=allowance.words()
    )
    publish_campaign(entry, folder)
    state, message = state_of(entry)
    tell(campaign.name, "ended-with-failures" if broken_count(entry) else "ended", state=state, message=message)
    return entry


def _as_before(folder: CampaignFolder, name: str, asked: str, *, try_again: bool) -> HostEntry | None:
    """Return what became of a host before, if nothing is to be done for it; None if something is."""
    path = folder.host(name)
    done = read_done(path)
    if done is None or done.asked != asked or done.unfinished or (done.failed and try_again):
        return None
    units = WorkFolder(path).units()
    there = sum(folder.archive.has(unit, key) for unit, key in units.items())
    if there != done.finished or not (path / CAMPAIGN_FILE).is_file():
        return None
    return HostEntry(name, "as before", done.finished, done.failed, 0)


def _runs_already(campaign: Campaign, folder: CampaignFolder) -> "State[Entry | None]":
    """Say that a campaign runs already; refuse one of the same name with other settings."""
    running = read_history(folder)[-1:]
    if running and running[0].campaign != campaign.model_dump(mode="json"):
        raise InputError(
            f"{campaign.name}: runs with other settings (run {running[0].number}); wait for its end, end it with "
            f"defect-surrogate cancel {folder.path}, or choose another name"
        )
    number = f", as run {running[0].number}" if running else ""
    return Completed(name="Already running", message=f"{campaign.name} runs already{number}; this adds nothing to it.")
