"""What a run leaves for Prefect's dashboard: tables of what was found and of what broke, the summary, a picture.

A page or a picture is shown where the report server has it: ``DEFECT_SURROGATE_REPORTS`` is its address, and the folder in
which the flow runs, as those of ``defect-surrogate serve`` do, the folder that it serves.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from defect_surrogate.errors import next_step
from defect_surrogate.reports.entries import FailureReport
from defect_surrogate.reports.schema import CampaignReport
from defect_surrogate.reports.summary import summary_markdown, table_rows
from flows.serve.place import REPORTS

logger = logging.getLogger(__name__)


def report_url(file: Path) -> str | None:
    """Return where the report server has a file below this working directory; None if it does not have it."""
    served, root = os.environ.get(REPORTS), Path.cwd()
    if not served or not file.absolute().is_relative_to(root):
        return None
    return f"{served.rstrip('/')}/files/{quote(file.absolute().relative_to(root).as_posix())}"


def campaign_url(name: str) -> str | None:
    """Return where the report server has a campaign; None if there is no report server."""
    served = os.environ.get(REPORTS)
    return f"{served.rstrip('/')}/campaigns/{quote(name)}/" if served else None


def artifact_key(kind: str, name: str) -> str:
    """Return the key of an artifact, under which the dashboard shows its latest version, e.g. ``results-cdte``."""
    return "-".join(part for part in (kind, re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")) if part)


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Log what the dashboard does not take, to be entered around what is published: results are on disk without it."""
    try:
        yield
    except Exception as error:
        logger.warning("not all is shown in the dashboard: %s", error)


def publish_artifacts(report: CampaignReport, folder: Path) -> None:
    """Attach result table, failures, summary and picture of a search to the flow run.

    Parameters
    ----------
    report
        Of the search.
    folder
        Of the run.
    """
    name = ", ".join(host.name for host in report.hosts)
    with shown():
        create_table_artifact(table_rows(report), artifact_key("vacancies", name), f"{name}: one row for each vacancy.")
        publish_failures(failures_in(report), name)
        create_markdown_artifact(
            summary_markdown(report), artifact_key("summary", name), f"{name}: searched and found."
        )
        publish_pictures(folder, name)


def publish_failures(failures: Iterable[FailureReport], name: str) -> None:
    """Attach a table of what broke, why, and what can be done, to the flow run; none if nothing broke.

    Parameters
    ----------
    failures
        Units that broke.
    name
        Of what was searched.
    """
    rows = failure_rows(failures)
    if rows:
        create_table_artifact(rows, artifact_key("failures", name), f"{name}: what broke, and what can be done.")


def failure_rows(failures: Iterable[FailureReport]) -> list[dict[str, str]]:
    """Say of each unit that broke why, and what can be done."""
    return [
        {"unit": one.unit, "cause": f"{one.error}: {one.message}", "next step": next_step(one.error)}
        for one in failures
    ]


def publish_pictures(folder: Path, name: str) -> None:
    """Attach the overview, and a link to the report, to the flow run, if the report server has them.

    Parameters
    ----------
    folder
        Of the run.
    name
        Of what was searched.
    """
    for file, kind in (("overview.svg", "overview"), ("report.html", "report")):
        url = report_url(folder / file) if (folder / file).is_file() else None
        if url is None:
            continue
        if kind == "overview":
            create_image_artifact(url, artifact_key(kind, name), f"{name}: energies of the relaxed structures.")
        else:
            create_link_artifact(url, f"Report of {name}", artifact_key(kind, name), f"{name}: the whole report.")


def failures_in(report: CampaignReport) -> list[FailureReport]:
    """Return what broke in a search.

    Parameters
    ----------
    report
        Of the search.

    Returns
    -------
    list of FailureReport
        Those of the hosts, and of their vacancies.
    """
    return [
        failure
        for host in report.hosts
        for failure in (*host.failures, *(one for vacancy in host.vacancies for one in vacancy.failures))
    ]
