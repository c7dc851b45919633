"""The commands that verify an archive and carry it to another machine; ``cli`` registers them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defect_surrogate.errors import InputError

if TYPE_CHECKING:
    from defect_surrogate.archive import Archive


def reindex(
    source: Annotated[
        Path,
        typer.Argument(metavar="ARCHIVE_OR_RUN", help="Archive, or folder of a run or a group.", show_default=False),
    ],
) -> None:
    """Verify every unit of an archive, and make its index, an ASE database, anew."""
    from defect_surrogate.archive import index_location  # noqa: PLC0415  (seconds to import)
    from defect_surrogate.archive import reindex as reindex_archive  # noqa: PLC0415
    from defect_surrogate.archive.index_database import without_password  # noqa: PLC0415

    archive = _existing_archive(source)
    typer.echo(f"{reindex_archive(archive)} units in {without_password(index_location(archive.root))}")


def pack(
    source: Annotated[
        Path, typer.Argument(metavar="ARCHIVE_OR_RUN", help="Archive, or folder of a run.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, such as units.tar.xz.", show_default=False)],
    frames: Annotated[
        int, typer.Option("--frames", min=2, help="Most ionic steps kept of a unit, first and last among them.")
    ] = 10,
) -> None:
    """Write the finished units of an archive into one compressed file, without the files of their calculations."""
    from defect_surrogate.archive import bundle  # noqa: PLC0415

    count = bundle.pack(_existing_archive(source), out, frames=frames)
    typer.echo(f"{count} units in {out}, {out.stat().st_size / count / 1000:.1f} kB each")


def unpack(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files that pack wrote.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="RUN_OR_ARCHIVE", help="Run or archive; a run when missing.", show_default=False
        ),
    ],
) -> None:
    """Add the units of packed files to an archive, which keeps what it has; they are not computed again there."""
    from defect_surrogate.archive import Archive, bundle  # noqa: PLC0415

    archive = Archive(_archive_root(out))
    refused = 0
    for file in files:
        done = bundle.unpack(file, archive)
        typer.echo(f"{file}: {done.imported} units new, {done.present} there already, {len(done.refused)} refused")
        for name in done.differing:
            typer.echo(f"kept the result that was there, which is another one: {name}")
        refused += len(done.refused)
    if refused:
        raise InputError(f"{refused} units refused, named above")


def _existing_archive(path: Path) -> "Archive":
    """Return the archive that a path is, or that the run or the host of a campaign there has."""
    from defect_surrogate.archive import Archive  # noqa: PLC0415
    from flows.sweep_folder import open_any  # noqa: PLC0415

    root = _archive_root(path)
    if (root / "units").is_dir():
        return Archive(root)
    try:
        return open_any(path).archive
    except InputError as error:
        raise InputError(
            f"{path}: neither an archive nor the folder of a run: no units/ or archive/units/ there"
        ) from error


def _archive_root(path: Path) -> Path:
    """Return the archive that a path is, or that the run there has or will have."""
    return path if (path / "units").is_dir() else path / "archive"
