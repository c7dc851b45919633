"""Sums by the addition theorem against sums over all triples, one by one."""

import math

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre

from defect_surrogate.surrogates.three_bodies import Angular, Bonds, Gradient

CPU = torch.device("cpu")


def star(random, edges=9, atoms=3):
    """Edges from three atoms in random directions."""
    centres = torch.tensor(sorted(random.integers(0, atoms, edges)))
    units = torch.tensor(random.normal(size=(edges, 3)))
    return centres, (units / units.norm(dim=1, keepdim=True)).float()


def bonds_of(angular, centres, units):
    nothing = torch.zeros(len(centres), 1)
    harmonics = angular.harmonics(units)
    return Bonds(3, centres, centres, centres, centres, centres, nothing, nothing, nothing, harmonics)


@pytest.mark.parametrize(("max_n", "max_l"), [(3, 3), (2, 2), (4, 1)])
def test_sums_are_those_over_triples(max_n, max_l):
    random = np.random.default_rng(0)
    angular = Angular(max_n, max_l, CPU)
    centres, units = star(random)
    sent = torch.tensor(random.normal(size=(len(centres), max_n * max_l))).float()
    _, _, pairs = angular.pairs(sent, bonds_of(angular, centres, units))
    expected = np.zeros(pairs.shape)
    for a in range(len(centres)):
        for b in range(len(centres)):
            if a != b and centres[a] == centres[b]:
                for column in range(max_n * max_l):
                    degree = column // max_n
                    legendre = eval_legendre(degree, float(units[a] @ units[b]))
                    expected[a, column] += sent[b, column] * math.sqrt((2 * degree + 1) / (4 * math.pi)) * legendre
    np.testing.assert_allclose(pairs, expected, atol=1e-5)


def test_gradients_are_torchs():
    random = np.random.default_rng(1)
    angular = Angular(3, 3, CPU)
    centres, units = star(random)
    weights = torch.tensor(random.normal(size=(len(centres), 9))).float()
    sent = torch.tensor(random.normal(size=(len(centres), 9))).float().requires_grad_()
    free = units.clone().requires_grad_()
    bonds = bonds_of(angular, centres, free)
    spread, sums, pairs = angular.pairs(sent, bonds)
    expected_sent, expected_units = torch.autograd.grad((pairs * weights).sum(), (sent, free))
    with torch.no_grad():
        gradient = Gradient(*(torch.zeros_like(part) for part in (bonds.radial, bonds.envelope, sent, bonds.harmonics)))
        dsent = angular.pairs_gradient(weights, spread, sums, bonds, gradient)
        np.testing.assert_allclose(dsent, expected_sent, atol=1e-5)
        np.testing.assert_allclose(angular.gradient(units, gradient.harmonics), expected_units, atol=1e-5)
