"""The figure of a training: valid, the same for the same errors, every epoch in it, and unknown stresses left out."""

import math
import re
from xml.etree import ElementTree

import pytest

from defect_surrogate.training.curves import training_curves
from defect_surrogate.training.epochs import Epoch, FrameErrors

SVG = "{http://www.w3.org/2000/svg}"


def epochs(losses, *, stress=0.2):
    return [
        Epoch(
            number=number,
            learning_rate=1e-3,
            training=FrameErrors(loss / 2, 0.01 * loss, 0.1 * loss, stress * loss),
            validation=FrameErrors(loss, 0.02 * loss, 0.2 * loss, stress * loss),
            seconds=1.0,
            ran_on="CPU, torch 2.13.0",
        )
        for number, loss in enumerate(losses, start=1)
    ]


def points(svg):
    """Number of points of each curve that is not of the frame, the ticks or the legend."""
    root = ElementTree.fromstring(svg)
    paths = [path.get("d", "") for path in root.iter(f"{SVG}path") if "stroke-width: 1.4" in path.get("style", "")]
    return sorted(len(re.findall(r"[ML] ", path)) for path in paths)


def test_every_epoch_is_in_every_panel():
    svg = training_curves([epochs([3.0, 2.0, 1.0, 1.5, 1.2])])
    legend, curves = [3, 3], [5] * 8
    assert points(svg) == legend + curves
    assert training_curves([epochs([3.0, 2.0, 1.0, 1.5, 1.2])]) == svg


def test_members_of_an_ensemble_are_in_one_figure():
    svg = training_curves([epochs([3.0, 2.0, 1.0]), epochs([3.0, 2.5, 1.0, 0.9])])
    assert points(svg) == [3, 3] + [3] * 8 + [4] * 8


@pytest.mark.parametrize("losses", [[2.0], [2.0, 1.0]])
def test_without_stress_labels_there_is_a_figure_all_the_same(losses):
    svg = training_curves([epochs(losses, stress=math.nan)])
    assert "stress" in training_curves([epochs(losses)])
    assert "stress" not in svg
    assert "force MAE" in svg
