"""The command that searches an alloy; ``cli`` registers it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defect_surrogate.errors import StoppedError
from flows.cli_cluster import Cluster
from flows.cli_errors import FAILURES
from flows.cluster.choice import on_cluster

if TYPE_CHECKING:
    from defect_surrogate.reports.alloy_schema import AlloyReport

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the sweep; made when missing.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, and nothing else there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List compositions, supercells and environments, run nothing.")]


def sweep(
    settings_file: Annotated[
        Path, typer.Argument(metavar="SETTINGS", help="YAML file of settings; see docs/reference.", show_default=False)
    ],
    out: Out,
    cluster: Cluster = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Search the vacancies of an alloy, in every environment, at several compositions.

    Work that the folder of the sweep holds already is not done again.
    """
    from flows.sweep_folder import read_sweep_settings  # noqa: PLC0415  (seconds to import)

    settings = on_cluster(read_sweep_settings(settings_file), cluster, settings_file)
    if dry_run:
        from flows.plan import planned_sweep, sweep_plan_text  # noqa: PLC0415

        planned = planned_sweep(settings)
        typer.echo(json.dumps(planned, indent=1) + "\n" if as_json else sweep_plan_text(planned), nl=False)
        return
    from flows.driver import run_sweep  # noqa: PLC0415

    try:
        found = run_sweep(out, settings)
    except KeyboardInterrupt as error:
        raise StoppedError(f"interrupted; what is finished is kept: defect-surrogate resume {out}") from error
    finish_sweep(found, out, as_json=as_json)


def finish_sweep(found: "AlloyReport", out: Path, *, as_json: bool) -> None:
    """Print what a sweep found, and end with exit code 1 where something has no result."""
    from defect_surrogate.reports.alloy import alloy_json  # noqa: PLC0415
    from defect_surrogate.reports.alloy_page import alloy_rows, alloy_statements  # noqa: PLC0415
    from flows.progress import show_table  # noqa: PLC0415
    from flows.sweep_results import failed_count  # noqa: PLC0415

    if as_json:
        typer.echo(alloy_json(found), nl=False)
    else:
        typer.echo("\n".join(alloy_statements(found)))
        show_table(alloy_rows(found))
        typer.echo(f"report: {out / 'report.html'}")
    if failed := failed_count(found):
        typer.echo(f"without a result: {failed} units or compositions; the report names them", err=True)
        raise typer.Exit(FAILURES)
