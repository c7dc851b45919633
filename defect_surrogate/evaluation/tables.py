"""An evaluation as JSON, and as a table for people."""

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from defect_surrogate.errors import ReportError
from defect_surrogate.evaluation.ensemble import EnsembleFigures
from defect_surrogate.evaluation.surrogate import Evaluation, Figures, GroupFigures
from defect_surrogate.markdown import markdown_table
from defect_surrogate.metrics import Errors

_EVALUATION = TypeAdapter(Evaluation)


def evaluation_json(evaluation: Evaluation) -> str:
    """Write an evaluation as strict JSON; what is not defined is null.

    Parameters
    ----------
    evaluation
        The evaluation.

    Returns
    -------
    str
        Text that ``read_evaluation`` reads back to the same value.
    """
    return json.dumps(asdict(evaluation), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation.

    Parameters
    ----------
    path
        File with the text of ``evaluation_json``.

    Returns
    -------
    Evaluation
        The evaluation.

    Raises
    ------
    ReportError
        If the file cannot be read, or is no evaluation.
    """
    try:
        return _EVALUATION.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ReportError(f"{path}: cannot be read as an evaluation: {error}") from error


def evaluation_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """One row for all defects, one for the bulk, and one for each defect and each host's bulk, as text.

    Parameters
    ----------
    evaluation
        The evaluation.

    Returns
    -------
    list of dict
        Column → text, all rows with the same columns. Errors are mean absolute ones, with the root mean square in brackets.
    """
    sets = [("all defects", evaluation.defects), ("all bulk", evaluation.bulk)]
    if evaluation.unseen is not None:
        sets.insert(0, ("defects in unseen compositions", evaluation.unseen))
    sets += [(_name(group), group.figures) for group in evaluation.groups]
    updated = evaluation.element_offsets is not None
    return [_row(name, figures, updated=updated) for name, figures in sets if figures.frames]


def evaluation_markdown(evaluation: Evaluation) -> str:
    """Write an evaluation as Markdown: what was compared with what, and the table.

    Parameters
    ----------
    evaluation
        The evaluation.

    Returns
    -------
    str
        Ending with a newline.
    """
    lines = [
        f"Force field: {evaluation.potential} ({evaluation.potential_level_of_theory}), "
        f"weights {evaluation.potential_digest[:16]}  ",
        f"Reference: {evaluation.level_of_theory}, frames {evaluation.dataset_digest[:16]}  ",
        "Mean absolute errors, root mean square errors in brackets. Relative energies are those above the ground state of each "
        f"defect; ρ is Spearman's coefficient, for several defects the mean of theirs ({evaluation.defects.unranked} without).",
    ]
    if evaluation.element_offsets is not None:
        offsets = ", ".join(f"{element} {offset:+.3f}" for element, offset in evaluation.element_offsets.items())
        lines[-1] += "  "
        lines.append(f"Element references updated by a fit to the bulk frames, eV per atom: {offsets}.")
    if evaluation.ensemble is not None:
        lines[-1] += "  "
        lines.append(_disagreement(evaluation.ensemble))
    return "\n".join([*lines, "", *markdown_table(evaluation_rows(evaluation))]) + "\n"


def _disagreement(ensemble: EnsembleFigures) -> str:
    parts = []
    for what, unit, one in (
        ("forces", "meV/Å", ensemble.forces),
        ("relative energies", "meV/atom", ensemble.relative_energy),
    ):
        if one is not None:
            rank = "–" if one.correlation is None else f"{one.correlation:.2f}"
            ratio = "–" if one.ratio is None else f"{one.ratio:.1f}"
            parts.append(
                f"{what} by {one.deviation:.1f} {unit}, rank correlation with the errors {rank}, errors {ratio} times as large"
            )
    return (
        f"The {ensemble.members} members disagree (standard deviation) in " + "; in ".join(parts or ["nothing"]) + "."
    )


def _name(group: GroupFigures) -> str:
    return f"{group.host}/{group.defect}" + (", learnt" if group.learnt else "")


def _row(name: str, figures: Figures, *, updated: bool) -> dict[str, str]:
    row = {"frames of": name, "frames": str(figures.frames), "energy (meV/atom)": _shown(figures.energy)}
    if updated:
        row["references updated (meV/atom)"] = _shown(figures.energy_references_updated)
    return row | {
        "force (meV/Å)": _shown(figures.forces),
        "stress (GPa)": _shown(figures.stress, digits=2),
        "relative energy (meV/atom)": _shown(figures.relative_energy),
        "below 5 eV (meV/atom)": _shown(figures.low_energy),
        "ρ": "–" if figures.spearman is None else f"{figures.spearman:.2f}",
    }


def _shown(errors: Errors | None, *, digits: int = 1) -> str:
    return "–" if errors is None else f"{errors.mae:.{digits}f} ({errors.rmse:.{digits}f})"
