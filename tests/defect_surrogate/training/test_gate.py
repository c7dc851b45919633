"""What passes the gate, and what it measures."""

import dataclasses
import math

import numpy as np
import pytest
from ase.calculators.lj import LennardJones

from defect_surrogate.errors import DatasetError, GateError
from defect_surrogate.surrogates import Potential
from defect_surrogate.surrogates.batch import CalculatorForceField
from defect_surrogate.surrogates.card import HeldOutErrors
from defect_surrogate.training.gate import check, faults, held_out_errors


def errors(name="model", **figures):
    known = {"force_mae": 50.0, "relative_energy_mae": 10.0} | figures
    others = {"energy_mae": 12.0, "stress_mae": 0.1, "low_energy_mae": 9.0, "spearman": 0.9}
    return HeldOutErrors(name=name, digest="ab" * 32, **(others | known))


BETTER, WORSE = errors("base", force_mae=60.0, relative_energy_mae=11.0), errors("chgnet", force_mae=40.0)


def test_a_model_that_is_better_in_all_passes():
    assert faults(errors(), [BETTER]) == []
    assert check(errors(), [BETTER], force=False) is False
    assert check(errors(), [BETTER], force=True) is False
    assert check(errors(), [], force=False) is False


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (errors("base", force_mae=49.9), r"force_mae 50 meV/Å, 49.9 of base"),
        (errors("chgnet", relative_energy_mae=9.5), r"relative_energy_mae 10 meV/atom, 9.5 of chgnet"),
    ],
)
def test_a_model_that_is_worse_than_one_other_is_refused(other, words, caplog):
    for others in ([other], [BETTER, other], [other, BETTER]):
        with pytest.raises(GateError, match=f"{words}; --force publishes it all the same"):
            check(errors(), others, force=False)
    assert check(errors(), [other], force=True) is True
    assert "published by force: " in caplog.text


def test_every_fault_is_told():
    worst = errors("base", force_mae=1.0, relative_energy_mae=1.0)
    assert len(faults(errors(), [worst, WORSE])) == 3


def test_figures_that_are_not_there_or_mean_nothing_across_levels_are_not_compared():
    assert (
        faults(errors(), [errors("chgnet", energy_mae=None, stress_mae=1e-9, spearman=1.0, low_energy_mae=1e-9)]) == []
    )
    assert faults(errors(relative_energy_mae=None), [BETTER]) == []
    assert faults(errors(), [errors(relative_energy_mae=None)]) == []


@pytest.mark.parametrize("others", [[], [BETTER]])
def test_an_error_that_is_no_number_never_passes(others):
    with pytest.raises(GateError, match="force_mae nan"):
        check(errors(force_mae=math.nan), others, force=False)


def test_nothing_held_out_is_refused_unless_forced():
    with pytest.raises(GateError, match="no frame with a defect is held out to measure it on"):
        check(None, [], force=False)
    assert check(None, [], force=True) is True


class Shifted(LennardJones):
    """The pair potential that the frames are labelled with, 70 meV too high per cell, and 30 meV/Å in each component."""

    def calculate(self, *arguments, **others):
        super().calculate(*arguments, **others)
        self.results["energy"] += 0.07
        self.results["forces"] = self.results["forces"] + 0.03


@pytest.fixture
def potential():
    calculator = Shifted(sigma=2.4, epsilon=0.1, rc=5.0, smooth=True)
    described = ("pair", "ab" * 32, "a pair potential", frozenset(("K", "Cl")), (), "HSE06 (VASP)")
    return Potential(*described, calculator, CalculatorForceField(calculator))


def without_elements(dataset):
    """Energies of the pair potential alone."""
    planted = {19: -1.0, 17: -3.0}
    frames = [
        dataclasses.replace(one, energy=one.energy - sum(planted[int(number)] for number in one.numbers))
        for one in dataset.frames
    ]
    return dataclasses.replace(dataset, frames=tuple(frames))


def test_errors_are_those_on_frames_with_a_defect(potential, data):
    test = without_elements(data.test)
    assert {one.is_bulk for one in test.frames} == {True, False}
    found = held_out_errors(potential, test)
    assert (found.name, found.digest) == ("pair", "ab" * 32)
    assert found.energy_mae == pytest.approx(10.0)
    assert found.force_mae == pytest.approx(30.0)
    assert found.relative_energy_mae == pytest.approx(0.0, abs=1e-9)
    assert found.spearman == pytest.approx(1.0)
    assert np.isfinite(found.stress_mae)


@pytest.mark.parametrize("made_for", [None, "PBE (VASP)"])
def test_absolute_energies_of_another_level_are_not_measured(potential, data, made_for):
    found = held_out_errors(dataclasses.replace(potential, made_for=made_for), without_elements(data.test))
    assert found.energy_mae is None
    assert found.force_mae == pytest.approx(30.0)


def test_the_bulk_alone_measures_nothing(potential, data):
    bulk = without_elements(data.test).select(lambda one: one.is_bulk)
    with pytest.raises(DatasetError, match="no frame with a defect to measure pair on"):
        held_out_errors(potential, bulk)
