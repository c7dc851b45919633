"""What a run leaves for Prefect's dashboard: a table of all vacancies, and the summary."""

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from defect_surrogate.reports.alloy_page import alloy_rows, alloy_statements
from defect_surrogate.reports.alloy_schema import AlloyReport
from defect_surrogate.reports.schema import CampaignReport
from defect_surrogate.reports.summary import summary_markdown, table_rows


def publish_artifacts(report: CampaignReport) -> None:
    """Attach result table and summary to the flow run.

    Parameters
    ----------
    report
        Of the run.
    """
    create_table_artifact(table_rows(report), key="vacancies", description="One row for each vacancy.")
    create_markdown_artifact(summary_markdown(report), key="summary", description="What was searched and found.")


def publish_alloy_artifacts(report: AlloyReport) -> None:
    """Attach the table of all environments and the summary to the flow run.

    Parameters
    ----------
    report
        Of the sweep.
    """
    create_table_artifact(alloy_rows(report), key="environments", description="One row for each vacancy of the alloy.")
    lines = "\n".join(f"- {statement}" for statement in alloy_statements(report))
    create_markdown_artifact(lines, key="alloy-summary", description="What was searched and found.")
