"""Training curves as a figure: errors on training and validation frames by epoch."""

import io
import math
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from defect_surrogate.training.epochs import Epoch

PANELS = (
    ("loss", "loss", 1.0),
    ("energy", "energy MAE (meV/atom)", 1e3),
    ("force", "force MAE (meV/Å)", 1e3),
    ("stress", "stress MAE (GPa)", 1.0),
)
COLOURS = {"training": "#9a9a9a", "validation": "#1f5fa8"}


def training_curves(members: Sequence[Sequence[Epoch]]) -> str:
    """Draw the errors of one or more trainings.

    Parameters
    ----------
    members
        Epochs of each member of an ensemble.

    Returns
    -------
    str
        SVG with four panels, logarithmic: loss, energy, force and stress errors, the last only where there are stress labels.
        A dot marks the best epoch.
    """
    panels = [panel for panel in PANELS if math.isfinite(getattr(members[0][0].validation, panel[0]))]
    figure = Figure(figsize=(3.3 * len(panels), 3.2), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, (name, title, factor) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for number, epochs in enumerate(members):
            best = min(epochs, key=lambda epoch: epoch.validation.loss)
            for part, colour in COLOURS.items():
                values = [factor * getattr(getattr(epoch, part), name) for epoch in epochs]
                label = part if number == 0 else None
                axes.plot(
                    [epoch.number for epoch in epochs], values, ".-", color=colour, linewidth=1.4, ms=3, label=label
                )
            label = "best epoch" if number == 0 else None
            error = factor * getattr(best.validation, name)
            axes.plot(best.number, error, "o", color=COLOURS["validation"], ms=5, label=label)
        axes.set_xlim(0.5, max(len(epochs) for epochs in members) + 0.5)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(True, linewidth=0.3)
    figure.axes[0].legend(frameon=False, fontsize=9)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "curves"}):  # the same figure for the same errors
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
