"""Errors against numbers worked out by hand, and against SciPy, scikit-free NumPy and ASE's units."""

import numpy as np
import pytest
from ase import units
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from defect_surrogate.metrics import (
    Errors,
    energy_errors,
    force_errors,
    pooled,
    relative_energy_errors,
    spearman,
    stress_errors,
)

ATOMS = np.array([10, 10, 20])


def test_energy_errors_are_per_atom_in_milli_electronvolts():
    # errors of 0.1, -0.2 and 0.6 eV: 10, 20 and 30 meV/atom
    errors = energy_errors(np.array([-1.9, -3.2, -4.4]), np.array([-2.0, -3.0, -5.0]), atoms=ATOMS)
    assert errors == Errors(pytest.approx(20.0), pytest.approx(np.sqrt((100 + 400 + 900) / 3)), 3)


def test_force_errors_count_components_not_atoms():
    zero = [np.zeros((1, 3)), np.zeros((2, 3))]
    predicted = [np.array([[0.3, 0, 0]]), np.array([[0, -0.6, 0], [0, 0, 0]])]
    assert force_errors(predicted, zero) == Errors(pytest.approx(100.0), pytest.approx(np.sqrt(0.45 / 9) * 1e3), 9)


def test_stress_errors_count_nine_components_and_leave_out_frames_without_stress():
    reference = np.zeros((2, 3, 3))
    reference[1] = np.nan
    predicted = np.zeros((2, 3, 3))
    predicted[0, 0, 0] = 9 * units.GPa
    assert stress_errors(predicted, reference) == Errors(pytest.approx(1.0), pytest.approx(3.0), 9)
    assert stress_errors(predicted[1:], reference[1:]) is None


def test_relative_energies_are_those_above_the_ground_state_of_the_reference():
    reference = np.array([2.0, 0.0, 8.0]) - 300
    predicted = np.array([3.0, 0.5, 6.5]) + 77  # relative to the second: 2.5 and 6.0, errors 0.5 and -2.0 eV
    atoms = np.array([50, 50, 50])
    errors = relative_energy_errors(predicted, reference, atoms=atoms)
    assert errors == Errors(pytest.approx(25.0), pytest.approx(np.sqrt((10**2 + 40**2) / 2)), 2)
    low = relative_energy_errors(predicted, reference, atoms=atoms, below=5.0)
    assert low == Errors(pytest.approx(10.0), pytest.approx(10.0), 1)


def test_relative_energies_refer_to_one_configuration_though_the_surrogate_ranks_another_lowest():
    errors = relative_energy_errors(np.array([0.0, -1.0]), np.array([0.0, 1.0]), atoms=np.array([10, 10]))
    assert errors == Errors(pytest.approx(200.0), pytest.approx(200.0), 1)


def test_a_configuration_alone_has_no_relative_energy():
    assert relative_energy_errors(np.array([-1.0]), np.array([-2.0]), atoms=np.array([10])) is None
    assert relative_energy_errors(np.zeros(0), np.zeros(0), atoms=np.zeros(0, dtype=int)) is None


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8, unique=True), st.floats(-1e3, 1e3))
def test_relative_energies_and_ranks_do_not_feel_a_constant(energies, constant):
    reference = np.round(np.array(energies), 3)
    predicted = np.round(np.sin(reference) * 3, 3)
    atoms = np.full(len(reference), 63)
    plain = relative_energy_errors(predicted, reference, atoms=atoms)
    shifted = relative_energy_errors(predicted + constant, reference, atoms=atoms)
    assert shifted.mae == pytest.approx(plain.mae, abs=1e-6)
    assert relative_energy_errors(reference + constant, reference, atoms=atoms).mae == pytest.approx(0, abs=1e-6)


def test_spearman_is_the_correlation_of_ranks():
    reference = np.array([0.0, 1.0, 2.0, 3.0, 10.0])
    predicted = np.array([0.1, 0.5, 0.4, 5.0, 2.0])
    # squared differences of ranks 0, 1, 1, 1, 1: 1 - 6 * 4 / (5 * 24)
    assert spearman(predicted, reference) == pytest.approx(0.8)
    ties = np.array([0.0, 1.0, 1.0, 3.0, 10.0])
    assert spearman(predicted, ties) == pytest.approx(np.corrcoef(rankdata(predicted), rankdata(ties))[0, 1])
    assert spearman(-reference, reference) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("predicted", "reference"), [([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1, 2, 3], [4, 4, 4])]
)
def test_spearman_is_undefined_for_too_few_or_constant_energies(predicted, reference):
    assert spearman(np.array(predicted), np.array(reference)) is None


def test_pooled_errors_are_those_of_the_whole_set():
    random = np.random.default_rng(0)
    predicted, reference, atoms = random.normal(size=9), random.normal(size=9), np.full(9, 8)
    parts = [energy_errors(predicted[part], reference[part], atoms=atoms[part]) for part in (slice(0, 2), slice(2, 9))]
    whole = energy_errors(predicted, reference, atoms=atoms)
    assert pooled([*parts, None]) == Errors(pytest.approx(whole.mae), pytest.approx(whole.rmse), 9)
    assert pooled([None]) is None
