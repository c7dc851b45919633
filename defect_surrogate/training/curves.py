"""Training curves as a figure: errors on training and validation frames by epoch."""

import io
from collections.abc import Sequence

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from defect_surrogate.training.trainer import Epoch

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
        SVG with four panels, logarithmic: loss, energy, force and stress errors. A dot marks the best epoch.
    """
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, (name, title, factor) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for number, epochs in enumerate(members):
            best = min(epochs, key=lambda epoch: epoch.validation.loss)
            for part, colour in COLOURS.items():
                values = [factor * getattr(getattr(epoch, part), name) for epoch in epochs]
                label = part if number == 0 else None
                axes.plot([epoch.number for epoch in epochs], values, color=colour, linewidth=1.4, label=label)
            axes.plot(best.number, factor * getattr(best.validation, name), "o", color=COLOURS["validation"], ms=5)
        axes.set_yscale("log")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(True, which="both", linewidth=0.3)
    figure.axes[0].legend(frameon=False, fontsize=9)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
