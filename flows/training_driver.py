"""What the command line does to make and to measure surrogates."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from defect_surrogate import isolated_atoms
from defect_surrogate.crystal_files import name_from_source
from defect_surrogate.dataset.store import read_manifest
from defect_surrogate.errors import InputError
from defect_surrogate.evaluation import Evaluation
from defect_surrogate.level_comparison import LevelComparison
from defect_surrogate.settings import BuildSettings
from defect_surrogate.surrogates.card import ModelCard
from defect_surrogate.training.settings import TrainSettings
from flows.driver import served
from flows.run_folder import open_run


def run_build(sources: Sequence[str], out: Path, settings: BuildSettings) -> dict[str, int]:
    """Compute the reference data of several hosts, with the Prefect server there is or one of its own.

    Parameters
    ----------
    sources
        Files of the hosts, or Materials Project ids.
    out
        Folder of the archive.
    settings
        What is computed of each host.

    Returns
    -------
    dict of str to int
        Units without a result, by host; -1 for a host that cannot be used; isolated atoms are under ``atoms``.

    Raises
    ------
    DefectSurrogateError
        If the folder or a server cannot be used, or two files would give two hosts one name.
    """
    host_names(sources)  # refused before a server starts
    with served(out, settings.workers.cluster) as server:
        from flows.build_dataset import build_dataset  # noqa: PLC0415
        from flows.cancel import cancellation_told  # noqa: PLC0415

        with server.ready(), cancellation_told():
            return build_dataset(list(sources), str(out), settings)


def run_train(settings: TrainSettings, out: Path, *, force: bool) -> ModelCard:
    """Train a surrogate, with the Prefect server there is or one of its own.

    Parameters
    ----------
    settings
        Of the training.
    out
        Folder of the checkpoint.
    force
        Publish a model that is worse than what there was.

    Returns
    -------
    ModelCard
        Of the published model.

    Raises
    ------
    DefectSurrogateError
        If it cannot be trained, or is not published.
    """
    for folder in settings.data:
        read_manifest(Path(folder))  # refused before a server starts
    with served(state_folder(out)) as server:
        from flows.train import train_surrogate  # noqa: PLC0415

        with server.ready():
            return train_surrogate(settings, str(out), force)


def run_evaluate(model: str, data: str, out: Path | None, *, update_references: bool = False) -> Evaluation:
    """Measure the errors of a force field on a dataset, with the Prefect server there is or one of its own.

    Parameters
    ----------
    model
        Name of a force field, or path of a checkpoint.
    data
        Folder of the dataset.
    out
        Folder for the results; they are not written when None.
    update_references
        Give the energy errors after a fit of one offset for each element to the bulk frames too.

    Returns
    -------
    Evaluation
        Also written into the folder.

    Raises
    ------
    DefectSurrogateError
        If model or dataset cannot be used.
    """
    read_manifest(Path(data))  # refused before a server starts
    folder = TemporaryDirectory(prefix="defect-surrogate-") if out is None else nullcontext(out)
    with folder as work, served(Path(work)) as server:
        from flows.evaluate import evaluate_surrogate  # noqa: PLC0415

        with server.ready():
            return evaluate_surrogate(model, data, None if out is None else str(out), update_references)


def run_compare(first: Path, second: Path, out: Path) -> LevelComparison:
    """Compare the ground states of two searches, with the Prefect server there is or one of its own.

    Parameters
    ----------
    first, second
        Folders of finished searches of one host at two reference levels.
    out
        Folder for the single points and the table.

    Returns
    -------
    LevelComparison
        Also written into the folder.

    Raises
    ------
    DefectSurrogateError
        If the searches cannot be compared.
    """
    for run in (first, second):
        open_run(run)  # refused before a server starts
    with served(out) as server:
        from flows.compare_levels import compare_levels  # noqa: PLC0415

        with server.ready():
            return compare_levels(str(first), str(second), str(out))


def host_names(sources: Sequence[str]) -> list[str]:
    """Name the hosts of a list.

    Parameters
    ----------
    sources
        Files of the hosts, or Materials Project ids.

    Returns
    -------
    list of str
        Name of each file without the suffix of its format, or the id.

    Raises
    ------
    InputError
        If a file has no name of its own, two hosts would have one name, or one that of the isolated atoms.
    """
    names = []
    for source in sources:
        name = name_from_source(source)
        if name is None:
            raise InputError(
                f"{source}: hosts are named after their files; name this one after the host, e.g. CdTe.vasp"
            )
        names.append(name)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{', '.join(twice)}: two files of one name; hosts are named after their files")
    if isolated_atoms.HOST in names:
        raise InputError(
            f"{isolated_atoms.HOST}: cannot be the name of a host, since isolated atoms have it; rename the file"
        )
    return names


def state_folder(model: Path) -> Path:
    """Return the folder that keeps the state of a training beside its checkpoint."""
    return model.absolute().with_name(f"{model.absolute().name}.training")
