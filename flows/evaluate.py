"""How good a surrogate is: its errors on a dataset as a Prefect flow, and the figures of merit of finished searches."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from pydantic import WithJsonSchema

from defect_surrogate.dataset.store import read_dataset
from defect_surrogate.errors import ReportError
from defect_surrogate.evaluation import (
    Evaluation,
    HostSearchResults,
    SearchedDefect,
    check_bulk_frames,
    evaluate,
    evaluation_json,
    evaluation_markdown,
    evaluation_rows,
    host_search_json,
    search_figures,
    with_errors,
)
from defect_surrogate.reports.files import read_campaign, replace_file
from defect_surrogate.reports.schema import HostReport, VacancyReport
from defect_surrogate.surrogates import load_potential, predict
from defect_surrogate.surrogates.card import ENSEMBLE, ModelCard, read_card
from defect_surrogate.surrogates.potentials import MATGL_PREFIX
from flows.progress import progress, show_own_lines

logger = logging.getLogger(__name__)

EVALUATION_FILE = "evaluation.json"
TABLE_FILE = "evaluation.md"

Model = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "description": "Force field: a name such as chgnet, matgl:NAME, or the path of a checkpoint.",
        }
    ),
]
Data = Annotated[str, WithJsonSchema({"type": "string", "description": "Folder of the dataset."})]


def evaluation_name() -> str:
    """Return the name of a run of ``evaluate_surrogate``, e.g. ``chgnet on test``."""
    parameters = flow_run.parameters
    return f"{Path(str(parameters['model'])).name} on {Path(str(parameters['data'])).name}"


@flow(name="evaluate-surrogate", flow_run_name=evaluation_name, persist_result=False)
def evaluate_surrogate(model: Model, data: Data, out: str | None = None, update_references: bool = False) -> Evaluation:
    """Measure the errors of a force field on every frame of a dataset, and the disagreement of its ensemble if it has one.

    Parameters
    ----------
    model
        Name of the force field, or path of a checkpoint.
    data
        Folder of the dataset.
    out
        Folder for ``evaluation.json`` and ``evaluation.md``, made when missing; not written when absent.
    update_references
        Give the energy errors after a fit of one offset for each element to the bulk frames too.

    Returns
    -------
    Evaluation
        Errors of each defect, of all defects and of the bulk.
    """
    show_own_lines()
    dataset = read_dataset(Path(data))
    if update_references:
        check_bulk_frames(dataset)
    potential = load_potential(model)
    logger.info("%s: %d frames of %s", evaluation_name(), len(dataset), ", ".join(dataset.hosts))
    members = [potential, *(load_potential(path) for path in other_members(model))]
    with progress(evaluation_name(), len(members) * len(dataset)) as advance:
        predictions, *others = [predict(member, dataset.frames, on_done=advance) for member in members]
    learnt = learnt_compositions(model)
    evaluation = evaluate(predictions, dataset, update_references=update_references, learnt=learnt, others=others)
    if out is not None:
        write_evaluation(evaluation, Path(out))
    create_table_artifact(evaluation_rows(evaluation), key="surrogate-errors", description=evaluation_name())
    return evaluation


def learnt_compositions(model: str) -> frozenset[str] | None:
    """Return the compositions that a model, or what it started from, was trained or validated on.

    Parameters
    ----------
    model
        Name of the force field, or path of a checkpoint.

    Returns
    -------
    frozenset of str or None
        Reduced formulas, of its card; None for a model without one.
    """
    card = _card(model)
    return None if card is None else card.learnt


def other_members(model: str) -> list[str]:
    """Return the paths of the further members of a model's ensemble; none for a single model.

    Parameters
    ----------
    model
        Name of the force field, or path of a checkpoint.

    Returns
    -------
    list of str
        As many as its card names.
    """
    card = _card(model)
    count = 0 if card is None else len(card.ensemble)
    return [str(_directory(model) / ENSEMBLE / str(number)) for number in range(2, count + 2)]


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write an evaluation as JSON and as a table.

    Parameters
    ----------
    evaluation
        The evaluation.
    folder
        Made when missing.
    """
    replace_file(folder / EVALUATION_FILE, evaluation_json(evaluation))
    replace_file(folder / TABLE_FILE, evaluation_markdown(evaluation))


def host_search_results(campaigns: Sequence[Path], evaluation: Evaluation | None = None) -> HostSearchResults:
    """Collect the figures of merit of searches that were run both ways.

    Parameters
    ----------
    campaigns
        Their ``campaign.json``, from searches with ``full_reference``.
    evaluation
        Errors of the same surrogate on a dataset with the same defects.

    Returns
    -------
    HostSearchResults
        Over all vacancies of all hosts.

    Raises
    ------
    ReportError
        If a file cannot be read, a vacancy is in two of them, none has both levels of theory, or they are not all by one
        surrogate and at one reference level.
    """
    hosts = [host for path in campaigns for host in read_campaign(path).hosts]
    surrogate = _only({host.surrogate for host in hosts}, "surrogates")
    reference = _only({host.reference for host in hosts}, "reference levels")
    _only({m.digest for host in hosts for m in host.methods if m.level == "surrogate"}, f"methods of {surrogate}")
    if evaluation is not None:
        _only({surrogate, evaluation.potential_level_of_theory}, "surrogates, of the searches and of the evaluation,")
        _only({reference, evaluation.level_of_theory}, "reference levels, of the searches and of the evaluation,")
    searched = tuple(_searched(host, vacancy) for host in hosts for vacancy in host.vacancies)
    if evaluation is not None:
        searched = with_errors(searched, evaluation)
    return HostSearchResults(surrogate, reference, search_figures(searched, evaluation=evaluation), searched)


def write_host_search(results: HostSearchResults, path: Path) -> None:
    """Write figures of merit as JSON.

    Parameters
    ----------
    results
        The figures.
    path
        The file, e.g. ``docs/results/host-search.json``.
    """
    replace_file(path, host_search_json(results))


def _card(model: str) -> ModelCard | None:
    return read_card(_directory(model)) if _directory(model).is_dir() else None


def _directory(model: str) -> Path:
    return Path(model.removeprefix(MATGL_PREFIX))


def _searched(host: HostReport, vacancy: VacancyReport) -> SearchedDefect:
    alone = SearchedDefect(
        host=host.name,
        composition=host.formula,
        defect=vacancy.name,
        dft_saved=vacancy.dft_saved,
        dft_saved_without_unperturbed=vacancy.dft_saved_without_unperturbed,
        surrogate_seconds=vacancy.surrogate_seconds,
    )
    comparison = vacancy.comparison
    if comparison is None or comparison.full_reference_finished < vacancy.sampling_structures:
        return alone  # of unfinished searches only misses are known, which would count too many
    return dataclasses.replace(
        alone,
        hit=comparison.hit,
        new_ground_state=comparison.new_ground_state,
        energy_difference=comparison.energy_difference,
        unperturbed_above_ground_state=_unperturbed_above_ground_state(vacancy),
        speedup=comparison.speedup,
        full_reference_seconds=comparison.full_reference_seconds,
        minima_reference_seconds=comparison.minima_reference_seconds,
    )


def _unperturbed_above_ground_state(vacancy: VacancyReport) -> float | None:
    """Return E(Unperturbed) − E(ground state of either search), eV; None if its relaxation broke."""
    lowest = [minima[0] for minima in (vacancy.minima, vacancy.full_reference_minima) if minima]
    above = [-one.energy_to_unperturbed for one in lowest if one.energy_to_unperturbed is not None]
    return max(above) if above else None


def _only(found: set[str | None] | set[str], what: str) -> str:
    known = sorted(one for one in found if one is not None)
    if len(known) != 1:
        raise ReportError(f"{len(known)} {what} where one is needed: {', '.join(known) or 'none'}")
    return known[0]
