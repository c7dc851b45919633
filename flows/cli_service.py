"""The commands of the service of a group; ``cli`` registers them."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from flows.cli_campaigns import HERE, Service
from flows.cli_errors import errors

Address = Annotated[str, typer.Option(help="Network address to listen at; loopback unless others are to reach it.")]
AtOnce = Annotated[int, typer.Option("--at-once", min=1, help="Flow runs that run at the same time.")]
LOOPBACK = "127.0.0.1"


@errors(resume=None)
def serve(
    service: Service = HERE,
    port: Annotated[int, typer.Option(help="Of Prefect's API and dashboard.")] = 4200,
    reports_port: Annotated[int, typer.Option(help="Of the reports.")] = 4201,
    at_once: AtOnce = 2,
) -> None:
    """Run the service of a group here: Prefect's server with our deployments, a worker, and the reports; until Ctrl-C."""
    from flows.serve.place import auth_of  # noqa: PLC0415
    from flows.serve.processes import Ports, running_service  # noqa: PLC0415

    typer.echo(f"{service}: starting", err=True)
    with running_service(service.absolute(), Ports(port, reports_port), at_once=at_once) as running:
        typer.echo(f"dashboard: {running.addresses.dashboard} (log in with: {auth_of(service.absolute())})")
        typer.echo(f"reports:   {running.addresses.reports}")
        typer.echo(f"campaigns: defect-surrogate campaign submit FILE --service {service}")
        typer.echo("Ctrl-C ends it; what runs is kept, and goes on when it is started again")
        running.wait()


@errors(resume=None)
def server(
    address: Address = LOOPBACK,
    port: Annotated[int, typer.Option(help="Of the API and the dashboard.")] = 4200,
) -> None:
    """Run Prefect's server alone, without telemetry; PREFECT_SERVER_API_AUTH_STRING is its user:password."""
    from flows.serve.api import serve_api  # noqa: PLC0415

    serve_api(address, port)


@errors(resume=None)
def register(
    at_once: AtOnce = 2,
    only_worker: Annotated[
        bool,
        typer.Option("--only-worker", help="All flow runs are of this machine: resume those whose process is gone."),
    ] = False,
) -> None:
    """Tell the Prefect server of PREFECT_API_URL about work pool, queues, deployments and automations."""
    from flows.serve.register import register as register_all  # noqa: PLC0415

    register_all(os.environ, at_once=at_once, only_worker=only_worker)


@errors(resume=None)
def alerts(
    webhook: Annotated[
        str | None,
        typer.Option(
            envvar="DEFECT_SURROGATE_WEBHOOK",
            help='Address that {"text": …} is posted to, e.g. of Slack or Mattermost.',
        ),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(
            help="Or a block of Prefect that sends messages, TYPE/NAME, e.g. sendgrid-email/group.", show_default=False
        ),
    ] = None,
    stalled_after: Annotated[float, typer.Option(min=0.01, help="Hours without a finished unit.")] = 12.0,
    service: Service = HERE,
) -> None:
    """Have a message sent when a campaign ends with failures, breaks or stalls; nothing is sent otherwise."""
    from flows.campaigns.start import speak_with_service  # noqa: PLC0415

    speak_with_service(service.absolute(), needed=True)
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    from flows.serve.automations import set_alerts  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        set_alerts(client, webhook=webhook, block=block, stalled=timedelta(hours=stalled_after))
    where = f"the webhook at {urlsplit(webhook).hostname}" if webhook is not None else block  # its path is its password
    typer.echo(f"messages go to {where}: of failures, of what breaks, and of {stalled_after:g} h without progress")


@errors(resume=None)
def reports(
    service: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a group, or of runs.")],
    address: Address = LOOPBACK,
    port: Annotated[int, typer.Option(help="Port.")] = 4201,
    password_file: Annotated[
        Path | None,
        typer.Option(
            help="File with USER:PASSWORD that visitors have to give; needed beyond loopback.", show_default=False
        ),
    ] = None,
) -> None:
    """Serve the reports of all runs in a folder as pages that only read, until Ctrl-C."""
    from defect_surrogate.report_server.serve import serve as serve_reports  # noqa: PLC0415

    password = None if password_file is None else password_file.read_text(encoding="utf-8").strip()
    serve_reports(service.absolute(), address=address, port=port, password=password)
