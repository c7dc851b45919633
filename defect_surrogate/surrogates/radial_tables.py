"""Functions of a distance as tables: cubic between equidistant nodes (Hermite), so that value and slope belong together."""

from collections.abc import Callable

import torch
from torch import Tensor

INTERVALS = 2048
"""Of a table. Radial functions of M3GNet vary over half an ångström, so that values are within 1e-9 and slopes within 1e-6 of
their largest (our choice; a test holds it against the functions themselves)."""

BEFORE_THE_END = 1e-7
"""Of the cutoff, by which the last node is before it: functions that end there with a slope have none at the cutoff itself."""


class RadialTable:
    """Several functions of a distance.

    Parameters
    ----------
    functions
        From distances of shape (k,), Å, to values of shape (k, f).
    cutoff
        Largest distance, Å.
    device
        Where the table is kept.
    """

    def __init__(self, functions: Callable[[Tensor], Tensor], cutoff: float, *, device: torch.device) -> None:
        step = cutoff / INTERVALS
        nodes = torch.arange(1, INTERVALS + 1, dtype=torch.float64, device=device) * step  # not 0, where they are 0/0
        nodes[-1] *= 1 - BEFORE_THE_END
        values, slopes = torch.func.jvp(functions, (nodes,), (torch.ones_like(nodes),))
        start, end = values[:-1], values[1:]
        rise, left, right = end - start, slopes[:-1] * step, slopes[1:] * step
        coefficients = torch.stack([start, left, 3 * rise - 2 * left - right, left + right - 2 * rise], dim=1)
        self._coefficients = coefficients.float()
        self._step = step

    def __call__(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate.

        Parameters
        ----------
        distances
            Shape (k,), Å, double precision.

        Returns
        -------
        tuple of Tensor
            Values and derivatives (1/Å), shape (k, f) each, single precision.
        """
        place = distances / self._step - 1
        interval = place.long().clamp_(0, INTERVALS - 2)
        t = (place - interval).float()[:, None]
        c0, c1, c2, c3 = self._coefficients[interval].unbind(1)
        return ((c3 * t + c2) * t + c1) * t + c0, ((3 * c3 * t + 2 * c2) * t + c1) / self._step
