"""Commands about clusters: whether a profile works; workers that several campaigns share."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from defect_surrogate.errors import InputError, ServiceError
from flows.cli_errors import FAILURES, errors

app = typer.Typer(no_args_is_help=True, help="Profiles of clusters, and workers that several campaigns share.")

Cluster = Annotated[
    Path | None,
    typer.Option(
        "--cluster",
        help="Profile of a cluster, or folder of workers that run already; this machine when absent.",
        show_default=False,
    ),
]
"""Option of the commands that compute."""

Profile = Annotated[
    Path, typer.Argument(metavar="PROFILE", help="YAML file, as in deployments/clusters.", show_default=False)
]
Folder = Annotated[
    Path,
    typer.Option("--folder", help="Folder of the workers, seen by all nodes; made when missing.", show_default=False),
]
Running = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the workers.", show_default=False)]


@app.command()
@errors(resume=None)
def check(
    profile: Profile,
    folder: Annotated[Path, typer.Option("--folder", help="Folder that all nodes see, for logs.")] = Path(),
    vasp: Annotated[
        list[str] | None, typer.Option("--vasp", help="Program that has to be there, e.g. vasp_gam.")
    ] = None,
    submit: Annotated[bool, typer.Option("--submit/--no-submit", help="Submit a job of each class.")] = True,
    patience: Annotated[float, typer.Option("--patience", help="Seconds to wait for each.")] = 600.0,
) -> None:
    """Show the job scripts of a profile, submit a trivial job of each class, and say what is wrong."""
    from flows.cluster.check import check_cluster, job_scripts  # noqa: PLC0415
    from flows.cluster.connection import Cluster  # noqa: PLC0415
    from flows.cluster.profile import read_profile  # noqa: PLC0415

    asked = read_profile(profile)
    for level, script in job_scripts(asked, folder.absolute()).items():
        typer.echo(f"--- {level}\n{script}")
    if not submit:
        return
    place = Path(tempfile.mkdtemp(prefix=".cluster-check-", dir=folder))
    cluster, wrong = Cluster(asked, place), 0
    try:
        url = os.environ.get("PREFECT_API_URL")
        for finding in check_cluster(cluster, programs=tuple(vasp or ()), prefect=url, patience=patience):
            wrong += not finding.ok
            typer.echo(f"{'ok' if finding.ok else 'WRONG':<6} {finding.subject}: {finding.words}")
    finally:
        cluster.close()
    if wrong:
        typer.echo(f"logs: {place}", err=True)
        raise typer.Exit(FAILURES)
    shutil.rmtree(place, ignore_errors=True)


@app.command()
@errors(resume=None)
def start(
    profile: Profile,
    folder: Folder,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, as a service does, until SIGTERM.")] = False,
) -> None:
    """Start workers that campaigns share: those with workers.cluster, or --cluster, set to the folder."""
    from flows.cluster.process import command_of, served_on, start_process, wait_for  # noqa: PLC0415
    from flows.cluster.profile import read_profile  # noqa: PLC0415
    from flows.cluster.serve import CONNECTION, write_profile  # noqa: PLC0415

    asked, folder = read_profile(profile), folder.absolute()
    if (host := served_on(folder)) is not None:
        raise InputError(f"{folder}: workers run there already, from {host}; defect-surrogate cluster stop {folder}")
    write_profile(asked, folder)
    (folder / CONNECTION).unlink(missing_ok=True)
    if foreground:
        command = command_of(folder, detached=True)
        os.execv(command[0], command)  # noqa: S606  (this very process becomes it)
    wait_for(folder, start_process(folder, detached=True))
    typer.echo(f"{folder}: ready; jobs are submitted when there is work: defect-surrogate search … --cluster {folder}")


@app.command()
@errors(resume=None)
def status(folder: Running, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Count the workers and jobs of each class, and say what is in their way."""
    from flows.cluster.process import read_state, served_on  # noqa: PLC0415

    state = read_state(folder)
    if not state or served_on(folder) is None:
        raise ServiceError(f"{folder}: no workers run there")
    if as_json:
        typer.echo(json.dumps(state, indent=1))
        return
    for name, one in state.items():
        what = f"{one['workers']} workers, {one['waiting']} jobs wait, {one['wanted']} wanted"
        typer.echo(f"{name:<24} {what}{': ' + one['problem'] if one['problem'] else ''}")


@app.command()
@errors(resume=None)
def stop(folder: Running) -> None:
    """End shared workers, and cancel their jobs; what campaigns have finished is in their archives."""
    from flows.cluster.process import STOP_SECONDS, served_on  # noqa: PLC0415
    from flows.cluster.serve import END, STATE  # noqa: PLC0415

    if served_on(folder) is None:
        raise ServiceError(f"{folder}: no workers run there")
    (folder / END).touch()
    began = time.monotonic()
    while served_on(folder) is not None or (folder / STATE).exists():  # which is removed when the jobs are cancelled
        if time.monotonic() - began > STOP_SECONDS:
            raise ServiceError(
                f"{folder}: its workers have not ended in {STOP_SECONDS:.0f} s; see {folder / 'serve.log'}"
            )
        time.sleep(0.2)
    typer.echo(f"{folder}: ended")
