"""From the search of an alloy, finished or not, to the files of its folder, and to Prefect's dashboard."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from pydantic import TypeAdapter, ValidationError

from defect_surrogate.alloys import SweepSettings
from defect_surrogate.relaxation import digest
from defect_surrogate.reports.alloy import alloy_json, alloy_report, composition_report
from defect_surrogate.reports.alloy_page import alloy_rows, alloy_statements, write_alloy_page
from defect_surrogate.reports.alloy_schema import AlloyReport, CompositionReport
from defect_surrogate.reports.files import replace_file
from defect_surrogate.reports.schema import CampaignReport
from defect_surrogate.reports.versions import library_versions
from flows.alloy_search import CompositionSearch
from flows.artifacts import publish_pictures
from flows.results import write_results
from flows.sweep_folder import CompositionFolder, SweepFolder
from flows.sweep_plan import SweepPlan

COMPOSITION_FILE, ALLOY_FILE = "composition.json", "alloy.json"

_COMPOSITION = TypeAdapter(CompositionReport)


def write_composition(folder: CompositionFolder, found: CompositionSearch) -> CampaignReport:
    """Write what a search leaves, and ``composition.json``, from which the report of the sweep is made.

    Parameters
    ----------
    folder
        Of the composition.
    found
        What was searched and found so far.

    Returns
    -------
    CampaignReport
        Of its supercells.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    report = write_results(folder, found.hosts)
    composition = composition_report(
        found.composition,
        found.supercells,
        found.environments,
        report.hosts,
        unfinished=sum(not one.usable for one in (*found.end_members, *found.cells)),
    )
    levels = {
        "surrogate": next((host.surrogate for host in report.hosts if host.surrogate), None),
        "reference": next((host.reference for host in report.hosts if host.reference), None),
    }
    content = {"made_with": sweep_digest(folder.settings), "levels": levels, "composition": asdict(composition)}
    replace_file(folder.path / COMPOSITION_FILE, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    return report


def write_sweep(folder: SweepFolder, plan: SweepPlan, *, lost: Mapping[str, str]) -> AlloyReport:
    """Write ``alloy.json`` and the page of a sweep, from what its compositions have left so far.

    Parameters
    ----------
    folder
        Of the sweep.
    plan
        Its compositions.
    lost
        What compositions broke with, by name.

    Returns
    -------
    AlloyReport
        The report. A composition without one of its own is among those lost.
    """
    compositions, levels, without = [], dict[str, str | None](), dict(lost)
    for composition in plan.compositions:
        path = folder.composition(composition.name).path / COMPOSITION_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["made_with"] != sweep_digest(folder.settings):
                without.setdefault(composition.name, "its report is of other settings; report makes it anew")
                continue
            compositions.append(_COMPOSITION.validate_python(content["composition"]))
            levels |= {name: level for name, level in content["levels"].items() if level is not None}
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            without.setdefault(composition.name, f"no report that can be read ({type(error).__name__})")
    report = alloy_report(
        plan.alloy.name,
        compositions,
        levels=levels,
        lost=without,
        versions=library_versions(),
        created=datetime.now(UTC),
    )
    replace_file(folder.path / ALLOY_FILE, alloy_json(report))
    write_alloy_page(report, folder.path)
    return report


def publish_sweep(report: AlloyReport, folder: Path) -> None:
    """Attach the table of all environments, and the summary, to the flow run.

    Parameters
    ----------
    report
        Of the sweep.
    folder
        Of the sweep.
    """
    create_table_artifact(alloy_rows(report), "environments", "One row for each vacancy of the alloy.")
    lines = "\n".join(f"- {statement}" for statement in alloy_statements(report))
    create_markdown_artifact(lines, key="alloy-summary", description="What was searched and found.")
    publish_pictures(folder, "alloy")


def sweep_digest(settings: SweepSettings) -> str:
    """Digest of what decides the report of a composition: all settings but those of other compositions and of the workers.

    Parameters
    ----------
    settings
        Of a sweep.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    content = settings.model_dump(mode="json", exclude={"workers": True, "compositions_at_once": True})
    content["alloy"] = settings.alloy.model_dump(mode="json", exclude={"compositions", "end_members"})
    return digest(content)


def failed_count(report: AlloyReport) -> int:
    """Count units that broke, units without a result, and compositions that were lost."""
    of_vacancies = sum(row.failures + row.unfinished for row in report.rows)
    return of_vacancies + sum(one.unfinished for one in report.compositions) + len(report.lost)
