"""A run of a campaign in words: the state in which its flow run ends, and what it leaves in Prefect's dashboard."""

from collections.abc import Mapping

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from defect_surrogate.errors import ReportError, next_step
from defect_surrogate.markdown import markdown_table
from defect_surrogate.reports.files import CAMPAIGN_FILE
from defect_surrogate.reports.files import read_campaign as read_report
from defect_surrogate.reports.schema import CampaignReport
from defect_surrogate.reports.summary import escaped, table_rows
from flows.artifacts import artifact_key, campaign_url, failure_rows, failures_in, report_url
from flows.campaigns.folder import CampaignFolder
from flows.campaigns.history import Entry, HostEntry

STATES = {
    "finished": "finished",
    "as before": "nothing to do: searched before",
    "budget": "left for another night",
    "broke": "some units broke",
    "lost": "could not be searched",
}


def state_of(entry: Entry) -> tuple[str, str]:
    """Return the state in which the flow run of a run ends.

    Parameters
    ----------
    entry
        Of the run, ended.

    Returns
    -------
    tuple of str and str
        Name of the state, and its message.
    """
    broke = [one for one in entry.hosts if one.state in ("broke", "lost")]
    left = [one for one in entry.hosts if one.unfinished]
    before = [one for one in entry.hosts if one.state == "as before"]
    searched = [one for one in entry.hosts if one.state not in ("as before", "lost")]
    words = [f"{len(searched)} of {len(entry.hosts)} hosts searched, {len(before)} as before"]
    if broke:
        words.append(f"broken or lost: {', '.join(one.name for one in broke)}")
    known = [one.name for one in entry.hosts if one.failed and one.state != "broke"]
    if known:
        words.append(f"broke before, and not tried again: {', '.join(known)}")
    if left:
        words.append(f"left for another night: {', '.join(one.name for one in left)}")
    name = "With failures" if broke else "Budget spent" if left else "Completed" if searched else "Nothing to do"
    return name, f"{'; '.join(words)}; {entry.spent}"


def broken_count(entry: Entry, before: Entry | None = None) -> int:
    """Count units of hosts in which some broke in a run, and hosts that were lost, but not as in an earlier run."""
    known = {(one.name, one.message) for one in (before.hosts if before else ()) if one.state == "lost"}
    lost = [one for one in entry.hosts if one.state == "lost" and (one.name, one.message) not in known]
    return sum(one.failed for one in entry.hosts if one.state == "broke") + len(lost)


def publish_campaign(entry: Entry, folder: CampaignFolder) -> None:
    """Attach summary, results of all hosts, and what broke, to the flow run.

    Parameters
    ----------
    entry
        Of the run, ended.
    folder
        Of the campaign.
    """
    reports = host_reports(folder, entry)
    name = folder.name
    create_markdown_artifact(
        campaign_markdown(entry, folder, reports), artifact_key("campaign", name), f"{name}: run {entry.number}."
    )
    rows = [row for report in reports.values() for row in table_rows(report)]
    create_table_artifact(rows, artifact_key("results", name), f"{name}: one row for each vacancy.")
    broken = broken_rows(entry, reports)
    if broken:
        create_table_artifact(broken, artifact_key("failures", name), f"{name}: what broke, and what can be done.")


def publish_lost(lost: Mapping[str, str]) -> None:
    """Attach a table of the campaigns that were lost in a night, why, and what can be done, to the flow run.

    Parameters
    ----------
    lost
        What campaigns were lost with, by name of their file.
    """
    rows = [{"campaign": name, "cause": cause, "next step": _next_step(cause)} for name, cause in lost.items()]
    create_table_artifact(rows, artifact_key("failures", "nightly"), "Campaigns that were lost, and what can be done.")


def host_reports(folder: CampaignFolder, entry: Entry) -> dict[str, CampaignReport]:
    """Read the reports of the hosts of a run, by name; those that were lost, or have a damaged one, are left out."""
    reports = {}
    for one in (one for one in entry.hosts if one.state != "lost"):
        try:
            reports[one.name] = read_report(folder.host(one.name) / CAMPAIGN_FILE)
        except ReportError:
            continue
    return reports


def broken_rows(entry: Entry, reports: dict[str, CampaignReport]) -> list[dict[str, str]]:
    """Say of each unit that broke, and each host that was lost, why, and what can be done."""
    lost = [
        {"unit": one.name, "cause": one.message, "next step": _next_step(one.message)}
        for one in entry.hosts
        if one.state == "lost"
    ]
    return lost + failure_rows(failure for report in reports.values() for failure in failures_in(report))


def campaign_markdown(entry: Entry, folder: CampaignFolder, reports: dict[str, CampaignReport]) -> str:
    """Write the summary of a run as Markdown; text from outside is escaped.

    Parameters
    ----------
    entry
        Of the run, ended.
    folder
        Of the campaign.
    reports
        Of its hosts, by name.

    Returns
    -------
    str
        What became of each host, with links to the report server if there is one.
    """
    state, message = state_of(entry)
    rows = [_row(one, folder, reports.get(one.name)) for one in entry.hosts]
    page = campaign_url(folder.name)
    before = f"{folder.name}@{entry.number - 1} {folder.name}@{entry.number}"
    changed = f" What changed since the run before: `defect-surrogate compare {before}`." if entry.number > 1 else ""
    more = [f"[All reports of the campaign]({page})"] if page else []
    return "\n\n".join(
        [
            f"# {escaped(folder.name)}, run {entry.number}: {state}",
            escaped(message),
            "\n".join(markdown_table(rows, words=7)),
            *more,
            f"Settings: `defect-surrogate show {folder.name}@{entry.number}`.{changed}",
        ]
    )


def _next_step(cause: str) -> str:
    """Say what can be done about a cause that begins with the name of an error."""
    return next_step(cause.split(":", maxsplit=1)[0])


def _row(one: HostEntry, folder: CampaignFolder, report: CampaignReport | None) -> dict[str, str]:
    vacancies = [] if report is None else [vacancy for host in report.hosts for vacancy in host.vacancies]
    lowerings = [vacancy.energy_lowering for vacancy in vacancies if vacancy.energy_lowering is not None]
    motifs = [vacancy.ground_state.motif for vacancy in vacancies if vacancy.ground_state is not None]
    units = f"{one.finished} finished"
    units += f", {one.failed} broke" if one.failed else ""
    units += f", {one.unfinished} to do" if one.unfinished else ""
    page = report_url(folder.host(one.name) / "report.html") if report is not None else None
    return {
        "host": escaped(one.name),
        "state": STATES[one.state] + (f": {escaped(one.message)}" if one.message else ""),
        "vacancies": str(len(vacancies)),
        "new bonds of the ground states": "; ".join(escaped(motif) for motif in dict.fromkeys(motifs)) or "–",
        "largest energy lowering": f"{min(lowerings):.3f} eV" if lowerings else "–",
        "units": units,
        "report": f"[report]({page})" if page else "–",
    }
