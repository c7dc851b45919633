"""How good a surrogate is: its errors on a dataset, and the figures of merit of searches done with it."""

from defect_surrogate.evaluation.element_offsets import check_bulk_frames
from defect_surrogate.evaluation.ensemble import EnsembleFigures, ensemble_figures
from defect_surrogate.evaluation.host_search import (
    HostSearchResults,
    SearchedDefect,
    SearchFigures,
    host_search_json,
    search_figures,
    with_errors,
)
from defect_surrogate.evaluation.surrogate import Evaluation, Figures, GroupFigures, evaluate, pooled_figures
from defect_surrogate.evaluation.tables import (
    evaluation_json,
    evaluation_markdown,
    evaluation_rows,
    read_evaluation,
)

__all__ = [
    "EnsembleFigures",
    "Evaluation",
    "Figures",
    "GroupFigures",
    "HostSearchResults",
    "SearchFigures",
    "SearchedDefect",
    "check_bulk_frames",
    "ensemble_figures",
    "evaluate",
    "evaluation_json",
    "evaluation_markdown",
    "evaluation_rows",
    "host_search_json",
    "pooled_figures",
    "read_evaluation",
    "search_figures",
    "with_errors",
]
