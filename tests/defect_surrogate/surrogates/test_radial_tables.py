"""Tables against the functions they are of."""

import math

import numpy as np
import pytest
import torch
from matgl.layers import BondExpansion

from defect_surrogate.surrogates.radial_tables import RadialTable

CPU = torch.device("cpu")


def inside(cutoff):
    return torch.linspace(0.3, cutoff, 977, dtype=torch.float64) * (1 - 1e-9)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("cutoff", [4.0, 5.0, 5.1])
def test_values_and_slopes_are_those_of_the_functions_up_to_the_cutoff(smooth, cutoff):
    functions = BondExpansion(max_l=3, max_n=3, cutoff=cutoff, smooth=smooth)
    lengths = inside(cutoff)
    values, slopes = RadialTable(functions, cutoff, device=CPU)(lengths)
    exact, exact_slopes = torch.func.jvp(functions, (lengths,), (torch.ones_like(lengths),))
    np.testing.assert_allclose(values, exact, atol=3e-7)
    np.testing.assert_allclose(slopes[:-1], exact_slopes[:-1], atol=3e-6)  # at 5.1 Å matgl's own cutoff is rounded down


def test_slopes_are_those_of_the_tables_values():
    table = RadialTable(lambda r: torch.stack([torch.sin(3 * r), torch.exp(-r)], 1), 5.0, device=CPU)
    lengths, step = inside(4.9), 1e-3
    _, slopes = table(lengths)
    ends = [table(lengths + sign * step)[0].double() for sign in (1, -1)]
    np.testing.assert_allclose(slopes, (ends[0] - ends[1]) / (2 * step), atol=2e-4)


def test_a_function_of_no_length_is_not_asked_for():
    values, slopes = RadialTable(lambda r: (torch.sin(r) / r)[:, None], math.pi, device=CPU)(
        torch.tensor([1e-6]).double()
    )
    assert values.item() == pytest.approx(1, abs=1e-5)
    assert slopes.item() == pytest.approx(0, abs=1e-2)
