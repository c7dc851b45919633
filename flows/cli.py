"""The command line: ``defect-surrogate``.

Results go to standard output, all else to standard error. Exit codes: 0 done; 1 done, but some units have no result; 2 the
input cannot be used; 3 the Prefect server, the Dask cluster or the archive failed; 130 interrupted.
"""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_archive import pack, reindex, unpack
from flows.cli_campaigns import campaign, compare, list_campaigns, show
from flows.cli_cluster import Cluster
from flows.cli_cluster import app as cluster_app
from flows.cli_errors import FAILURES, Options, errors
from flows.cli_service import alerts, register, reports, serve, server
from flows.cli_sweep import finish_sweep, sweep
from flows.cli_training import build_dataset, compare_levels, evaluate, ingest, train
from flows.cluster.choice import on_cluster

if TYPE_CHECKING:
    from defect_surrogate.reports.schema import CampaignReport
    from defect_surrogate.settings import SearchSettings

EPILOG = (
    "Exit codes: 0 done; 1 done, but some units have no result (the report names them); 2 the input cannot be used; "
    "3 Prefect server, Dask cluster or archive failed; 130 interrupted."
)

app = typer.Typer(
    name="defect-surrogate",
    help="Find the ground-state structures of point defects: a force field searches, DFT relaxes only the distinct minima.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, and nothing else there.")]
Run = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="Folder of a search, a sweep, a campaign or build-dataset.", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; made when missing.", show_default=False)]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", "-s", help="YAML file of settings; see docs/reference.", show_default=False)
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Host crystal: CIF, POSCAR, CONTCAR, extxyz or pymatgen JSON (also .gz), or a Materials Project id.",
        show_default=False,
    ),
]
Elements = Annotated[
    list[str] | None,
    typer.Option(
        "--elements", "-e", help="Elements to remove, e.g. Cd or Cd,Zn; all cations when absent.", show_default=False
    ),
]
Surrogate = Annotated[
    str | None,
    typer.Option(
        help="Force field: a name such as chgnet, matgl:NAME, or the path of a checkpoint.", show_default=False
    ),
]
FullReference = Annotated[
    bool,
    typer.Option("--full-reference", help="Relax all sampling structures at the reference level too, and compare."),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="List what would be searched and run, write the inputs of one unit, run nothing."),
]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"defect-surrogate {version('defect-surrogate')}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show tracebacks.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Take the options that stand before a command."""
    Options.debug = debug


@app.command(epilog=EPILOG)
def search(  # noqa: PLR0917  (typer knows options by their annotation)
    source: Source,
    out: Out,
    elements: Elements = None,
    settings_file: SettingsFile = None,
    surrogate: Surrogate = None,
    full_reference: FullReference = False,
    cluster: Cluster = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Search the vacancies of a host: distort, relax with the force field, relax the distinct minima at the reference level.

    Work that the folder of the run holds already is not done again.
    """
    with errors(resume=None if dry_run else out):
        settings = _settings(settings_file, elements, surrogate, full_reference=full_reference)
        settings = on_cluster(settings, cluster, settings_file)
        if dry_run:
            _show_plan(source, out, settings, as_json=as_json)
            return
        from flows.driver import run_search  # noqa: PLC0415  (commands that only look should start at once)

        _finish(run_search(source, out, settings), out, as_json=as_json)


@app.command(epilog=EPILOG)
def resume(run: Run, cluster: Cluster = None, as_json: Json = False) -> None:
    """Continue a search or a sweep that was interrupted, or try again what broke; finished units are not run again."""
    with errors(resume=run):
        from flows.driver import run_search, run_sweep  # noqa: PLC0415
        from flows.run_folder import open_run  # noqa: PLC0415
        from flows.sweep_folder import is_sweep, open_sweep  # noqa: PLC0415

        if is_sweep(run):
            finish_sweep(run_sweep(run, on_cluster(open_sweep(run).settings, cluster)), run, as_json=as_json)
            return
        folder = open_run(run)
        _finish(run_search(folder.source, run, on_cluster(folder.settings, cluster)), run, as_json=as_json)


@app.command(epilog=EPILOG)
def cancel(run: Run) -> None:
    """End a search, a sweep or a campaign, its relaxations and its batch jobs; what is finished is kept."""
    with errors(resume=None):
        from flows.campaigns.start import end_waiting_runs  # noqa: PLC0415

        waiting = end_waiting_runs(run)  # sets the environment, which Prefect reads at its import
        from flows.cancel import cancel_run  # noqa: PLC0415

        left = cancel_run(run)
        more = [f"cancelled jobs that had been left: {', '.join(left)}"] if left else []
        more += [f"cancelled {waiting} runs that had not begun"] if waiting else []
        typer.echo("; ".join([f"{run}: ended", *more]))


@app.command(epilog=EPILOG)
def analyse(
    tree: Annotated[
        Path,
        typer.Argument(metavar="TREE", help="ShakeNBreak folder of one defect, or of several.", show_default=False),
    ],
    bulk: Annotated[Path, typer.Option("--bulk", help="POSCAR of the supercell without defect.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the report; not written when absent.", show_default=False),
    ] = None,
    settings_file: SettingsFile = None,
    as_json: Json = False,
) -> None:
    """Analyse somebody's finished ShakeNBreak calculations: distinct minima, reconstructions, report. Nothing is computed."""
    with errors(resume=None):
        from flows.analyse import analyse as analyse_tree  # noqa: PLC0415

        settings = _settings(settings_file, None, None, full_reference=False)
        _finish(analyse_tree(tree, bulk=bulk, out=out, settings=settings.minima), out, as_json=as_json)


@app.command(epilog=EPILOG)
def report(run: Run, as_json: Json = False) -> None:
    """Write the report of a search or a sweep anew from its archive, also while it is running."""
    with errors(resume=None):
        from flows.driver import rebuild_report, rebuild_sweep  # noqa: PLC0415
        from flows.sweep_folder import is_sweep  # noqa: PLC0415

        if is_sweep(run):
            finish_sweep(rebuild_sweep(run), run, as_json=as_json)
            return
        _finish(rebuild_report(run), run, as_json=as_json)


@app.command(epilog=EPILOG)
def status(run: Run, as_json: Json = False) -> None:
    """Count what is finished, running and failed in a run."""
    with errors(resume=None):
        from flows.driver import count_units  # noqa: PLC0415
        from flows.sweep_folder import open_any  # noqa: PLC0415

        folder = open_any(run)
        counts, failures = count_units(folder), folder.failures()
        if as_json:
            content = {"counts": [asdict(one) for one in counts], "failures": [asdict(one) for one in failures]}
            typer.echo(json.dumps(content, indent=1))
            return
        for one in counts:
            state = f"{one.finished} of {one.total} finished, {one.running} running, {one.failed} failed"
            typer.echo(f"{one.defect:<30} {one.level:<10} {state}")
        if not counts:
            typer.echo(f"{run}: has not come to its first unit")
        for failure in failures:
            typer.echo(f"failed: {failure.name}: {failure.error}: {failure.message}")


@app.command(epilog=EPILOG)
def doctor(as_json: Json = False) -> None:
    """Say which libraries, force fields, POTCARs, executables and servers there are, and what to do about a miss."""
    with errors(resume=None):
        from flows.doctor import examine  # noqa: PLC0415

        checks = examine()
        if as_json:
            typer.echo(json.dumps([asdict(check) for check in checks], indent=1))
        else:
            for check in checks:
                typer.echo(f"{check.state:<9} {check.subject}: {check.found}")
                if check.advice:
                    typer.echo(f"          → {check.advice}")
        if any(check.state == "missing" for check in checks):
            raise typer.Exit(FAILURES)


def _settings(
    file: Path | None, elements: list[str] | None, surrogate: str | None, *, full_reference: bool
) -> "SearchSettings":
    from defect_surrogate.settings import SearchSettings  # noqa: PLC0415
    from defect_surrogate.settings_files import read_settings  # noqa: PLC0415

    settings = SearchSettings() if file is None else read_settings(file)
    content = settings.model_dump()
    if elements:
        content["vacancies"]["elements"] = [symbol.strip() for entry in elements for symbol in entry.split(",")]
    if surrogate is not None:
        content["surrogate"]["potential"] = str(Path(surrogate).absolute()) if Path(surrogate).exists() else surrogate
    elif file is not None and (checkpoint := file.parent / content["surrogate"]["potential"]).is_dir():
        content["surrogate"]["potential"] = str(checkpoint.resolve())  # as the settings file means it, from wherever
    if full_reference:
        content["full_reference"] = True
    return SearchSettings.model_validate(content)


def _show_plan(source: str, out: Path, settings: "SearchSettings", *, as_json: bool) -> None:
    from flows.plan import plan_search, plan_text  # noqa: PLC0415

    plan = plan_search(source, out, settings)
    if as_json:
        typer.echo(json.dumps(asdict(plan), indent=1, ensure_ascii=False))
        return
    typer.echo(plan_text(plan), nl=False)


def _finish(campaign: "CampaignReport", out: Path | None, *, as_json: bool) -> None:
    from defect_surrogate.reports.files import campaign_json  # noqa: PLC0415
    from defect_surrogate.reports.summary import summary_text, table_rows  # noqa: PLC0415
    from flows.progress import show_table  # noqa: PLC0415
    from flows.results import failure_count, unfinished_count  # noqa: PLC0415

    typer.echo(campaign_json(campaign) if as_json else summary_text(campaign), nl=False)
    if not as_json:
        show_table(table_rows(campaign))
    if out is not None and not as_json:
        typer.echo(f"report: {out / 'report.html'}")
    failed, unfinished = failure_count(campaign), unfinished_count(campaign)
    if failed or unfinished:
        typer.echo(
            f"without a result: {failed} units failed, {unfinished} not run yet; the report names them", err=True
        )
        raise typer.Exit(FAILURES)


app.add_typer(cluster_app, name="cluster")
app.add_typer(campaign, name="campaign")
app.command("list", epilog=EPILOG)(list_campaigns)
for ready in (show, compare, serve, server, reports, register, alerts):
    app.command(epilog=EPILOG)(ready)
for command in (sweep, ingest, build_dataset, train, evaluate, compare_levels, reindex, pack, unpack):
    app.command(epilog=EPILOG)(errors(resume=None)(command))

if __name__ == "__main__":
    app()
