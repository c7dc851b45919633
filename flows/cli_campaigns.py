"""The commands about campaigns of a group; ``cli`` registers them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defect_surrogate.errors import InputError
from flows.cli_errors import FAILURES, errors

if TYPE_CHECKING:
    from flows.campaigns.folder import CampaignFolder
    from flows.campaigns.history import Entry, Found

campaign = typer.Typer(no_args_is_help=True, help="Campaigns: many hosts on the archive of a group.")

Service = Annotated[
    Path,
    typer.Option("--service", envvar="DEFECT_SURROGATE_SERVICE", help="Folder of the group.", show_default="service"),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file, YAML.", show_default=False)]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Campaign files, YAML.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, and nothing else there.")]
HERE = Path("service")


@campaign.command()
@errors(resume=None)
def run(file: File, service: Service = HERE) -> None:
    """Run a campaign here and now, with the service if it runs, else without it; what the archive has is not computed again."""
    from flows.campaigns.settings import read_campaign  # noqa: PLC0415
    from flows.campaigns.start import run_here  # noqa: PLC0415

    name, message, failed = run_here(read_campaign(file), service)
    typer.echo(f"{name}: {message}")
    if failed:
        raise typer.Exit(FAILURES)


@campaign.command()
@errors(resume=None)
def submit(files: Files, service: Service = HERE) -> None:
    """Have the service run campaigns; one that waits or runs already is not begun twice."""
    from flows.campaigns.settings import read_campaign  # noqa: PLC0415
    from flows.campaigns.start import submitted  # noqa: PLC0415

    campaigns = [read_campaign(file) for file in files]  # all refused before one is begun
    for one in campaigns:
        typer.echo(submitted(one, service))


@errors(resume=None)
def list_campaigns(service: Service = HERE, as_json: Json = False) -> None:
    """List the campaigns of a group: runs, hosts, what was found and what broke."""
    from flows.campaigns.folder import ServiceFolder  # noqa: PLC0415
    from flows.campaigns.history import read_history  # noqa: PLC0415
    from flows.campaigns.summary import broken_count, state_of  # noqa: PLC0415
    from flows.lock import is_free  # noqa: PLC0415
    from flows.progress import show_table  # noqa: PLC0415

    rows = []
    for folder in ServiceFolder(service.absolute()).campaigns():
        history = read_history(folder)
        if not history:
            continue
        latest = history[-1]
        state = state_of(latest)[0] if latest.ended else "Interrupted" if is_free(folder.path) else "Running"
        rows.append(
            {
                "campaign": folder.name,
                "runs": str(len(history)),
                "latest": latest.began,
                "state": state,
                "hosts": str(len(latest.hosts)),
                "vacancies": str(len(latest.found)),
                "new bonds": str(sum(one.has_new_bonds for one in latest.found.values())),
                "broke": str(broken_count(latest)),
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    elif rows:
        show_table(rows)
    else:
        typer.echo(f"{service}: no campaign was run there: defect-surrogate campaign submit FILE --service {service}")


Which = Annotated[
    str, typer.Argument(metavar="CAMPAIGN[@RUN]", help="Name, and number of the run; the latest when absent.")
]


@errors(resume=None)
def show(which: Which, service: Service = HERE, as_json: Json = False) -> None:
    """Show a run of a campaign: its settings, what became of each host, what was found."""
    import yaml  # noqa: PLC0415

    from flows.campaigns.summary import STATES, state_of  # noqa: PLC0415
    from flows.progress import printable  # noqa: PLC0415

    folder, entry = _entry(service, which)
    if as_json:
        typer.echo(json.dumps(asdict(entry), indent=1, ensure_ascii=False))
        return
    state, message = state_of(entry) if entry.ended else ("not ended", "it runs, or was killed")
    when = f"{entry.began} to {entry.ended or '…'}"
    lines = [f"{folder.name}, run {entry.number}, {when}: {state}: {message}"]
    for one in entry.hosts:
        units = f"{one.finished} finished, {one.failed} broke, {one.unfinished} to do"
        lines.append(f"  {one.name}: {STATES[one.state]}{f': {one.message}' if one.message else ''}; units: {units}")
    lines += [f"  {name}: {_words(found)}" for name, found in entry.found.items()]
    typer.echo("\n".join(printable(line) for line in lines))
    typer.echo("settings:")
    typer.echo(yaml.safe_dump(entry.campaign, sort_keys=False, allow_unicode=True), nl=False)


@errors(resume=None)
def compare(before: Which, after: Which, service: Service = HERE, as_json: Json = False) -> None:
    """Compare two runs, of one campaign or of two: settings that differ, and results that do."""
    from flows.campaigns.history import changed_results, changed_settings  # noqa: PLC0415

    old, new = _entry(service, before)[1], _entry(service, after)[1]
    settings, results = changed_settings(old, new), changed_results(old, new)
    if as_json:
        found = {name: [one and asdict(one) for one in pair] for name, pair in results.items()}
        typer.echo(json.dumps({"settings": settings, "results": found}, indent=1, ensure_ascii=False))
        return
    typer.echo("settings: " + ("" if settings else "the same"))
    for key, (was, now) in settings.items():
        typer.echo(f"  {key}: {was} → {now}")
    typer.echo("results: " + ("" if results else "the same"))
    for name, (earlier, later) in results.items():
        typer.echo(f"  {name}: {_words(earlier)} → {_words(later)}")


def _entry(service: Path, which: str) -> "tuple[CampaignFolder, Entry]":
    from flows.campaigns.folder import ServiceFolder  # noqa: PLC0415
    from flows.campaigns.history import read_entry  # noqa: PLC0415

    name, at, number = which.partition("@")
    if at and not number.isdecimal():
        raise InputError(f"{which}: after @ comes the number of a run, e.g. {name}@1")
    place = ServiceFolder(service.absolute())
    folder = place.searched(name)
    return folder, read_entry(folder, int(number) if at else None)


def _words(found: "Found | None") -> str:
    if found is None:
        return "not searched"
    if found.energy is None:
        return "no ground state yet"
    lowering = "" if found.energy_lowering is None else f", {found.energy_lowering:.3f} eV against Unperturbed"
    return f"{found.motif}, {found.energy:.3f} eV{lowering} ({found.level_of_theory})"
