"""The page of a model says what its card says."""

import pytest

from defect_surrogate.surrogates.card import CardSplit, HeldOutErrors, ModelCard
from defect_surrogate.training.card_text import card_text, held_out_table

MINE = HeldOutErrors(
    name="model",
    digest="ab" * 32,
    energy_mae=12.34,
    force_mae=50.0,
    stress_mae=0.1,
    relative_energy_mae=4.0,
    low_energy_mae=3.0,
    spearman=0.91,
)
BASELINE = MINE.model_copy(update={"name": "chgnet", "energy_mae": None, "stress_mae": None, "force_mae": 123.4})


@pytest.fixture
def card():
    return ModelCard(
        digest="ab" * 32,
        architecture="M3GNet",
        parameters=663,
        elements=["Cl", "Na"],
        level_of_theory="HSE06 (VASP)",
        base=None,
        data=["cd" * 32],
        split=CardSplit(
            training=["KBr", "NaBr"],
            validation_unseen=["KCl"],
            test=["NaCl"],
            training_frames=20,
            validation_frames=2,
            test_frames=10,
        ),
        reference_energies={"Cl": -3.0, "Na": -1.5},
        reference_energies_from="fitted to the bulk frames of the training compositions",
        settings="data:\n- salts\n",
        epochs=7,
        best_epoch=5,
        held_out=[MINE, BASELINE],
        forced=False,
        ensemble=[],
        versions={"matgl": "4.1.2"},
        ran_on=["CPU, torch 2.13.0"],
        command="defect-surrogate train train.yaml --out model",
        created="2026-11-24T12:00:00+00:00",
    )


def test_the_table_has_a_row_for_each_model_and_a_dash_for_what_was_not_measured(card):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in held_out_table(card).splitlines()]
    assert rows[0][1:5] == ["E (meV/atom)", "E relative (meV/atom)", "E relative < 5 eV (meV/atom)", "F (meV/Å)"]
    assert rows[2] == ["model", "12.3", "4", "3", "50", "0.1", "0.91"]
    assert rows[3] == ["chgnet", "–", "4", "3", "123", "–", "0.91"]
    assert len({len(row) for row in rows}) == 1


def test_the_page_says_where_a_model_is_from(card):
    text = card_text(card)
    for words in (
        "# M3GNet for HSE06 (VASP)",
        "    defect-surrogate train train.yaml --out model",
        "Started from random weights; 7 epochs, weights of epoch 5.",
        "Trained with CPU, torch 2.13.0.",
        "Trained on 20 frames of KBr, NaBr; validated on 2 frames, some of KCl, of which none is in training.",
        "on 10 held-out frames of NaCl",
        "```yaml\ndata:\n- salts\n```",
    ):
        assert words in text
    assert "force" not in text.split("Settings:")[0].replace("held-out", "")
    assert "Ensemble" not in text
    based = card_text(card.model_copy(update={"base": "ef" * 32, "ensemble": ["12" * 32, "34" * 32]}))
    assert "Started from model `efefefefefefefef`" in based
    assert "Ensemble: 2 further members" in based


def test_force_is_told_with_its_reason(card):
    forced = card.model_copy(update={"forced": True})
    assert "Published by force, although worse than a model above." in card_text(forced)
    assert "Published by force, with nothing to measure it on." in card_text(forced.model_copy(update={"held_out": []}))
