"""Cards: read back as written, and refused when they, or the files they stand for, are not what was written."""

import json

import pytest

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.errors import PotentialError
from defect_surrogate.surrogates.card import CARD_FILE, CardSplit, HeldOutErrors, ModelCard, read_card


@pytest.fixture
def card(tmp_path):
    """The card of a directory with a file of weights, written."""
    (tmp_path / "state.pt").write_bytes(b"weights")
    card = ModelCard(
        digest="ab" * 32,
        architecture="M3GNet",
        parameters=663,
        elements=["Cl", "Na"],
        level_of_theory="HSE06 (VASP)",
        base="ef" * 32,
        data=["cd" * 32],
        split=CardSplit(
            training=["KBr"],
            validation_unseen=[],
            test=["NaCl"],
            training_frames=20,
            validation_frames=2,
            test_frames=10,
        ),
        reference_energies={"Cl": -3.0, "Na": -1.5},
        reference_energies_from="those of the base model",
        settings="data: [salts]\n",
        epochs=7,
        best_epoch=5,
        held_out=[
            HeldOutErrors(
                name="model",
                digest="ab" * 32,
                energy_mae=None,
                force_mae=50.0,
                stress_mae=None,
                relative_energy_mae=None,
                low_energy_mae=None,
                spearman=None,
            )
        ],
        forced=False,
        ensemble=[],
        versions={"matgl": "4.1.2"},
        ran_on=["CPU, torch 2.13.0"],
        command="defect-surrogate train train.yaml --out model",
        created="2026-11-24T12:00:00+00:00",
        files={"state.pt": file_digest(tmp_path / "state.pt")},
    )
    (tmp_path / CARD_FILE).write_text(card.model_dump_json())
    return card


def test_a_card_is_read_back_and_a_foreign_checkpoint_has_none(card, tmp_path):
    assert read_card(tmp_path) == card
    (tmp_path / CARD_FILE).unlink()
    assert read_card(tmp_path) is None


@pytest.mark.parametrize("content", [b"weightz", b"weights of another", b""])
def test_a_file_that_is_not_the_one_of_the_card_is_named(card, tmp_path, content):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(PotentialError, match=r"state.pt: is damaged, or not the file that card.json was written for"):
        read_card(tmp_path)


def test_a_file_that_is_gone_is_named(card, tmp_path):
    (tmp_path / "state.pt").unlink()
    with pytest.raises(PotentialError, match=r"state.pt: cannot be read"):
        read_card(tmp_path)


@pytest.mark.parametrize("further", [{}, {"uncertainty": "a field that this software does not know"}])
def test_a_card_of_another_format_says_so(card, tmp_path, further):
    (tmp_path / CARD_FILE).write_text(json.dumps(card.model_dump() | {"format": 2} | further))
    with pytest.raises(PotentialError, match=r"card.json: is a card of format 2, this software reads 1"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"elements"', '"elments"'),
        lambda text: text.replace('"parameters":663', '"parameters":"many"'),
        lambda text: text.replace('"format":1,', ""),
    ],
)
def test_what_is_no_card_is_refused(card, tmp_path, damage):
    path = tmp_path / CARD_FILE
    path.write_text(damage(path.read_text()))
    with pytest.raises(PotentialError, match=r"card.json: is no card of a model"):
        read_card(tmp_path)
