"""The commands that make and measure surrogates; ``cli`` registers them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_cluster import Cluster
from flows.cluster.choice import on_cluster

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the result; made when missing.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, and nothing else there.")]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Folder of a checkpoint, matgl:NAME, or a name such as chgnet.", show_default=False
    ),
]
Data = Annotated[Path, typer.Argument(metavar="DATA", help="Folder of a dataset.", show_default=False)]


def ingest(
    trees: Annotated[
        list[Path],
        typer.Argument(
            metavar="TREE...", help="Folders of VASP or ShakeNBreak calculations, runs or archives.", show_default=False
        ),
    ],
    out: Out,
    host: Annotated[
        str | None, typer.Option(help="Name of the host of trees that do not say it.", show_default=False)
    ] = None,
) -> None:
    """Make a dataset of finished calculations; a table says what was taken, what was dropped, and why."""
    from flows.ingest import TABLE, ingest_trees  # noqa: PLC0415  (seconds to import)

    summary = ingest_trees(trees, out, host=host)
    typer.echo(
        f"{summary.frames} frames of {summary.relaxations} relaxations of {len(summary.hosts)} hosts at "
        f"{summary.level_of_theory}, {summary.bulk_frames} of them without a defect"
    )
    typer.echo(f"{len(summary.incomplete)} relaxations lost frames, all are listed in {out / TABLE}")


def build_dataset(
    sources: Annotated[
        list[str], typer.Argument(metavar="HOST...", help="Files of the host crystals.", show_default=False)
    ],
    out: Out,
    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", "-s", help="YAML file of settings; see docs/reference.", show_default=False),
    ] = None,
    cluster: Cluster = None,
) -> None:
    """Relax all sampling structures of several hosts at the reference level, and evaluate strained bulk cells: training data.

    Work that the archive of the folder holds already is not done again.
    """
    from defect_surrogate.settings import BuildSettings  # noqa: PLC0415
    from defect_surrogate.settings_files import read_settings  # noqa: PLC0415
    from flows.training_driver import run_build  # noqa: PLC0415

    settings = BuildSettings() if settings_file is None else read_settings(settings_file, BuildSettings)
    settings = on_cluster(settings, cluster, settings_file)
    missing = run_build(sources, out, settings)
    for name, count in missing.items():
        state = "cannot be used, see above" if count < 0 else f"{count} units without a result" if count else "done"
        typer.echo(f"{name}: {state}")
    if any(missing.values()):
        raise typer.Exit(1)


def train(
    settings_file: Annotated[
        Path, typer.Argument(metavar="SETTINGS", help="YAML file of settings; see docs/reference.", show_default=False)
    ],
    out: Out,
    force: Annotated[
        bool, typer.Option("--force", help="Publish a model that is worse than the one it started from.")
    ] = False,
) -> None:
    """Train a surrogate on datasets: checkpoint, model card and training curves. An interrupted training is continued."""
    from defect_surrogate.settings_files import read_settings  # noqa: PLC0415
    from defect_surrogate.training.card_text import held_out_table  # noqa: PLC0415
    from defect_surrogate.training.settings import TrainSettings  # noqa: PLC0415
    from flows.training_driver import run_train  # noqa: PLC0415

    card = run_train(read_settings(settings_file, TrainSettings), out, force=force)
    typer.echo(f"model {card.digest[:16]} in {out}: epoch {card.best_epoch} of {card.epochs}")
    typer.echo(held_out_table(card))


def evaluate(
    model: Model,
    data: Data,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the result; made when missing. Else it is only shown."),
    ] = None,
    update_references: Annotated[
        bool,
        typer.Option(
            "--update-references",
            help="Give energy errors after a fit of an offset for each element to the bulk frames too, for a force field of "
            "another level of theory.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure the errors of a force field on a dataset, per defect and overall."""
    from defect_surrogate.evaluation import evaluation_json, evaluation_rows  # noqa: PLC0415
    from flows.progress import show_table  # noqa: PLC0415
    from flows.training_driver import run_evaluate  # noqa: PLC0415

    evaluation = run_evaluate(model, str(data), out, update_references=update_references)
    if as_json:
        typer.echo(evaluation_json(evaluation), nl=False)
    else:
        show_table(evaluation_rows(evaluation))


def compare_levels(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished search.", show_default=False)],
    second: Annotated[
        Path, typer.Argument(metavar="OTHER", help="Search of the same host at another level.", show_default=False)
    ],
    out: Out,
    as_json: Json = False,
) -> None:
    """Compare the ground states that two searches found at two reference levels, by single points at the level of the first."""
    from flows.progress import show_table  # noqa: PLC0415
    from flows.training_driver import run_compare  # noqa: PLC0415

    comparison = run_compare(first, second, out)
    if as_json:
        typer.echo(json.dumps(asdict(comparison), indent=1, ensure_ascii=False))
    else:
        from defect_surrogate.level_comparison import comparison_rows  # noqa: PLC0415

        show_table(comparison_rows(comparison))
