"""Disagreement of members whose differences are planted, on the small dataset of this folder."""

import math

import numpy as np
import pytest

from defect_surrogate.evaluation import (
    ensemble_figures,
    evaluate,
    evaluation_json,
    evaluation_markdown,
    read_evaluation,
)


def test_disagreement_is_of_defects_relative_to_their_ground_states(dataset, predict_with):
    """CdTe/v_Cd_0, three atoms: members differ by 0.3 eV in two of three states above the ground state; forces by 0.02 eV/Å."""
    members = [predict_with(), predict_with({6: 0.3, 9: 0.3, 0: 5.0}, force=0.02)]
    found = ensemble_figures(members, dataset)
    assert found.members == 2
    assert found.relative_energy.count == 4  # three of CdTe and one of CdSe
    assert found.relative_energy.deviation == pytest.approx(math.sqrt(2 * (100 / math.sqrt(2)) ** 2 / 4))
    assert found.relative_energy.ratio == pytest.approx(0)
    assert (found.forces.count, found.forces.deviation) == (6, pytest.approx(20 / math.sqrt(2)))


def test_a_shift_of_all_energies_of_a_defect_is_no_disagreement(dataset, predict_with):
    shifted = predict_with(dict.fromkeys(range(len(dataset.frames)), 0.7))
    found = ensemble_figures([predict_with(), shifted], dataset)
    assert found.relative_energy.deviation == pytest.approx(0, abs=1e-9)


def test_an_evaluation_carries_it_and_says_it(dataset, predict_with, tmp_path):
    errors = {6: 0.3, 7: 0.06, 9: 0.6}
    evaluation = evaluate(predict_with(errors), dataset, others=[predict_with(), predict_with({9: 0.3})])
    assert evaluation.ensemble.members == 3
    (tmp_path / "evaluation.json").write_text(evaluation_json(evaluation))
    assert read_evaluation(tmp_path / "evaluation.json") == evaluation
    lines = [line for line in evaluation_markdown(evaluation).splitlines() if "members disagree" in line]
    assert len(lines) == 1
    assert lines[0].startswith("The 3 members disagree (standard deviation) in forces by 0.0 meV/Å, rank")
    assert "errors – times as large" in lines[0]
    assert evaluate(predict_with(), dataset).ensemble is None
    assert "disagree" not in evaluation_markdown(evaluate(predict_with(), dataset))


def test_without_a_defect_there_is_nothing_to_compare(dataset, predict_with):
    bulk = dataset.select(lambda frame: frame.is_bulk)
    members = [predict_with(), predict_with()]
    few = [
        type(one)(one.potential, one.digest, one.level_of_theory, one.energies[:4], one.forces[:4], one.stresses[:4])
        for one in members
    ]
    found = ensemble_figures(few, bulk)
    assert (found.forces, found.relative_energy) == (None, None)
    with pytest.raises(ValueError, match="1 members for"):
        ensemble_figures(few[:1], bulk)
    with pytest.raises(ValueError, match="members for 10 frames"):
        ensemble_figures(few, dataset)


def test_a_member_that_gives_no_number_is_named(dataset, predict_with):
    from defect_surrogate.errors import PotentialError

    with pytest.raises(PotentialError, match="CdTe/v_Cd_0"):
        evaluate(predict_with(), dataset, others=[predict_with({6: np.nan})])
