"""Errors of each defect, of all and of the bulk, worked out by hand."""

import dataclasses

import numpy as np
import pytest
from ase import units
from ase.data import atomic_numbers

from defect_surrogate.errors import DatasetError, PotentialError
from defect_surrogate.evaluation import evaluate
from defect_surrogate.metrics import Errors


def approximately(mae, rmse, count):
    return Errors(pytest.approx(mae), pytest.approx(rmse), count)


def by_name(evaluation):
    return {f"{group.host}/{group.defect}": group.figures for group in evaluation.groups}


def test_a_perfect_force_field_has_no_errors(dataset, predict_with):
    evaluation = evaluate(predict_with(), dataset)
    defects = evaluation.defects
    assert (defects.frames, defects.defects, defects.unranked, defects.spearman) == (6, 2, 1, pytest.approx(1.0))
    assert defects.energy == Errors(0.0, 0.0, 6)
    assert defects.relative_energy == Errors(0.0, 0.0, 4)
    assert defects.forces == Errors(0.0, 0.0, 54)
    assert evaluation.element_offsets is defects.energy_references_updated is None


def test_errors_are_told_apart_by_defect_and_bulk(dataset, predict_with):
    # CdTe: the ground state, Dimer, 0.3 eV too high, so that the others seem 0.3 eV too low: 100 meV/atom
    figures = by_name(evaluate(predict_with({8: 0.3, 5: -0.4}, force=0.1, stress=2 * units.GPa), dataset))
    assert list(figures) == ["CdSe/bulk", "CdSe/v_Cd_0", "CdTe/bulk", "CdTe/v_Cd_0"]
    defect = figures["CdTe/v_Cd_0"]
    assert defect.energy == approximately(25.0, 50.0, 4)
    assert defect.relative_energy == approximately(100.0, 100.0, 3)
    assert defect.low_energy == approximately(100.0, 100.0, 2)  # Rattled is 6 eV above the ground state
    assert defect.forces == approximately(100.0, 100.0, 36)
    assert defect.stress == approximately(2.0, 2.0, 36)
    assert defect.spearman == pytest.approx(1.0)
    assert (figures["CdSe/v_Cd_0"].spearman, figures["CdSe/v_Cd_0"].unranked) == (None, 1)
    bulk = figures["CdTe/bulk"]
    assert bulk.energy == approximately(100 / 3, 100 / np.sqrt(3), 3)
    assert (bulk.relative_energy, bulk.spearman, bulk.defects, bulk.unranked) == (None, None, 0, 0)
    assert figures["CdSe/bulk"].stress is None


def test_figures_over_all_defects_weigh_configurations_and_average_ranks_over_defects(dataset, predict_with):
    wrong_order = predict_with({6: 5.0, 7: 2.0, 9: -4.0})  # predicted 3, 1, -4, -2 for reference -2, -1, -4, 2
    evaluation = evaluate(wrong_order, dataset)
    assert evaluation.defects.energy == approximately(1e3 * 11 / 3 / 6, 1e3 * np.sqrt(45 / 9 / 6), 6)
    assert evaluation.defects.relative_energy == approximately(1e3 * 11 / 3 / 4, 1e3 * np.sqrt(45 / 9 / 4), 4)
    assert evaluation.defects.spearman == pytest.approx(0.2)  # ranks 4, 3, 1, 2 for 2, 3, 1, 4
    assert evaluation.bulk.energy == Errors(0.0, 0.0, 4)
    assert (evaluation.bulk.frames, evaluation.bulk.defects) == (4, 0)


def test_updated_references_take_out_a_constant_for_each_atom_of_an_element(dataset, predict_with):
    constants = {"Cd": 1.5, "Se": -0.7, "Te": 0.25}
    shifts = {index: -sum(constants[symbol] for symbol in frame.symbols) for index, frame in enumerate(dataset.frames)}
    evaluation = evaluate(predict_with(shifts), dataset, update_references=True)
    assert evaluation.element_offsets == pytest.approx(constants)
    assert evaluation.defects.energy.mae > 100
    assert evaluation.defects.energy_references_updated.mae == pytest.approx(0, abs=1e-6)
    assert evaluation.bulk.energy_references_updated.rmse == pytest.approx(0, abs=1e-6)
    assert evaluation.defects.relative_energy.mae == pytest.approx(0, abs=1e-6)


def test_references_are_fitted_to_the_bulk_alone(dataset, predict_with):
    evaluation = evaluate(predict_with({6: 9.0}), dataset, update_references=True)
    assert evaluation.element_offsets == pytest.approx({"Cd": 0, "Se": 0, "Te": 0}, abs=1e-9)


def test_an_element_without_bulk_frames_has_no_reference(dataset, predict_with):
    tellurium = dataset.select(lambda frame: not (frame.is_bulk and atomic_numbers["Se"] in frame.numbers))
    predictions = predict_with()
    kept = [i for i, frame in enumerate(dataset.frames) if frame in tellurium.frames]
    fewer = dataclasses.replace(
        predictions,
        energies=predictions.energies[kept],
        forces=tuple(predictions.forces[i] for i in kept),
        stresses=predictions.stresses[kept],
    )
    with pytest.raises(DatasetError, match="no bulk frame with Se"):
        evaluate(fewer, tellurium, update_references=True)
    assert evaluate(fewer, tellurium).defects.frames == 6


def test_a_force_field_that_gives_no_number_is_not_measured(dataset, predict_with):
    with pytest.raises(PotentialError, match="tuned: energy nan eV or a force of CdTe/v_Cd_0/Dimer/0 is not finite"):
        evaluate(predict_with({8: np.nan}), dataset)


def test_predictions_of_another_dataset_are_refused(dataset, predict_with):
    with pytest.raises(ValueError, match="10 predictions cannot be compared with 6 frames"):
        evaluate(predict_with(), dataset.select(lambda frame: not frame.is_bulk))


def test_energies_of_two_supercells_are_not_compared(dataset, predict_with):
    larger = dataclasses.replace(
        dataset.frames[8],
        label="Larger",
        energy=-100.0,
        numbers=np.array([48, 48, 52, 52, 52]),
        positions=np.zeros((5, 3)),
        forces=np.zeros((5, 3)),
    )
    both = dataclasses.replace(dataset, frames=(*dataset.frames, larger))
    predictions = predict_with({8: 0.3})
    more = dataclasses.replace(
        predictions,
        energies=np.append(predictions.energies, -90.0),
        forces=(*predictions.forces, np.zeros((5, 3))),
        stresses=np.append(predictions.stresses, np.zeros((1, 3, 3)), axis=0),
    )
    evaluation = evaluate(more, both)
    assert evaluation.defects.relative_energy == evaluate(predictions, dataset).defects.relative_energy
    assert (evaluation.defects.defects, evaluation.defects.unranked) == (3, 2)
