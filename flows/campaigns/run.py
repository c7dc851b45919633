"""A campaign as a Prefect flow, and the run of all campaign files of a group every night."""

import logging
from pathlib import Path
from typing import Annotated

from prefect import State, flow
from prefect.exceptions import CancelledRun
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed

from defect_surrogate.errors import ArchiveError, HeldError, InputError, ReportError, StoppedError
from defect_surrogate.reports.files import CAMPAIGN_FILE
from defect_surrogate.reports.files import read_campaign as read_report
from flows.allowance import Allowance
from flows.artifacts import shown
from flows.campaigns.events import Progress, tell
from flows.campaigns.folder import CampaignFolder, ServiceFolder, asked_for, read_done
from flows.campaigns.history import Entry, Found, HostEntry, begin_entry, end_entry, found_in, read_history
from flows.campaigns.settings import PRIORITIES, Campaign, as_text, hosts_of, read_campaign, resolved
from flows.campaigns.summary import broken_count, publish_campaign, publish_lost, state_of
from flows.campaigns.twice import runs_already
from flows.described import described
from flows.lock import locked
from flows.progress import show_own_lines
from flows.resumed import begin_again
from flows.work_folder import WorkFolder

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
        What the run did, as in the history of the campaign; None where it runs already. Cancelled, if it is ended on request.
    """
    show_own_lines()
    place = ServiceFolder(Path(service).absolute())
    folder = place.campaign(campaign.name)
    try:
        with Progress(campaign.name) as progress:
            begin_again()
            campaign = resolved(campaign, place.root)
            with locked(folder.path):
                folder.clear_stop_request()
                entry = _run(campaign, folder, progress, try_again=try_again)
    except HeldError:
        return Completed(name="Already running", message=runs_already(campaign, folder))
    except StoppedError as error:
        return Cancelled(message=str(error))
    name, message = state_of(entry)
    return Completed(name=name, message=message, data=entry)


@flow(name="nightly", persist_result=False)
def nightly(service: Service = ".") -> "State[dict[str, str]]":
    """Run all campaign files of a group, those of high priority first. What broke before is not tried again.

    Parameters
    ----------
    service
        Folder of the group, with its files in ``campaigns``.

    Returns
    -------
    State of dict of str to str
        What campaigns were lost with, by name of the file.
    """
    show_own_lines()
    begin_again()
    place = ServiceFolder(Path(service).absolute())
    campaigns, lost = _read_all(place)
    for file in sorted(campaigns, key=lambda file: -PRIORITIES[campaigns[file].priority]):
        try:
            run_campaign(campaigns[file], service, try_again=False)
        except CancelledRun:
            logger.warning("%s: ended on request", file)
        except Exception as error:
            logger.error("%s: lost: %s", file, error)
            lost[file] = f"{type(error).__name__}: {error}"
    if not lost:
        return Completed(message=f"{len(campaigns)} campaigns run", data=lost)
    with shown():
        publish_lost(lost)
    return Completed(name="With failures", message=f"lost: {', '.join(lost)}", data=lost)


def _read_all(place: ServiceFolder) -> tuple[dict[str, Campaign], dict[str, str]]:
    """Read the campaign files of a group; one that cannot be read ends no other. Both are by name of the file."""
    campaigns, lost = dict[str, Campaign](), dict[str, str]()
    for path in place.campaign_files():
        file = as_text(path.name)
        try:
            campaign = read_campaign(path)
            if twice := [other for other, known in campaigns.items() if known.name == campaign.name]:
                raise InputError(f"{path}: {campaign.name} is also the name of the campaign of {twice[0]}")
            campaigns[file] = campaign
        except Exception as error:
            logger.error("%s: lost: %s", file, error)
            lost[file] = f"{type(error).__name__}: {error}"
            tell(Path(file).stem, "broke", message=lost[file])
    if not campaigns and not lost:
        logger.info("%s: no campaign file there", place.root / "campaigns")
    return campaigns, lost


def _run(campaign: Campaign, folder: CampaignFolder, progress: Progress, *, try_again: bool) -> Entry:
    """Search the hosts of a campaign whose folder is held."""
    if folder.archive.stop_requested():
        raise InputError(
            f"{folder.archive.root / 'STOP'}: asks all work on the archive to end; remove it, and start again"
        )
    hosts, wrong = hosts_of(campaign)
    earlier = None if try_again else next(reversed(read_history(folder)), None)
    entry = begin_entry(folder, campaign, flow_run.get_id())
    folder.archive.clear_dead_attempts()
    tell(campaign.name, "began", hosts=len(hosts))
    ended, found = dict[str, HostEntry](), dict[str, Found]()
    budget = campaign.budget
    allowance = Allowance(folder.spent, relaxations=budget.reference_relaxations, core_hours=budget.core_hours)
    for name, source in hosts.items():
        if (before := _as_before(folder, name, source, campaign, try_again=try_again)) is not None:
            ended[name], results = before
            found |= results
    missing = {name: source for name, source in hosts.items() if name not in ended}
    lost = {name: f"HostError: {message}" for name, message in wrong.items()}
    if missing:
        from flows.campaigns.hosts import search_hosts  # noqa: PLC0415  (takes seconds, and 500 MB)

        lost |= search_hosts(
            *(missing, folder, campaign),
            allowance=allowance,
            try_again=try_again,
            ended=ended,
            found=found,
            unit=progress.unit,
        )
    ended |= {name: HostEntry(name, "lost", message=message) for name, message in lost.items()}
    entry = end_entry(
        folder, entry, hosts=[ended[name] for name in (*hosts, *wrong)], found=found, spent=allowance.words()
    )
    with shown():
        publish_campaign(entry, folder)
    state, message = state_of(entry)
    tell(
        campaign.name, "ended-with-failures" if broken_count(entry, earlier) else "ended", state=state, message=message
    )
    return entry


def _as_before(
    folder: CampaignFolder, name: str, source: str, campaign: Campaign, *, try_again: bool
) -> tuple[HostEntry, dict[str, Found]] | None:
    """Return what became of a host before, if nothing is to be done for it; None if something is."""
    path, archive = folder.host(name), folder.archive
    done = read_done(path)
    if done is None or done.unfinished or (done.failed and try_again):
        return None
    if done.asked != asked_for(source, campaign.search):
        return None
    try:
        there = sum(archive.has(unit, key) for unit, key in WorkFolder(path).units().items())
        found = found_in(read_report(path / CAMPAIGN_FILE))
    except (ArchiveError, ReportError):  # made anew
        return None
    return (HostEntry(name, "as before", done.finished, done.failed, 0), found) if there == done.finished else None
