"""The committed checkpoints are whole, small, made by the committed settings, and have not learnt from an unseen host."""

import json
from pathlib import Path

import pytest
import yaml
from pymatgen.core import Composition

from defect_surrogate.surrogates import load_potential
from defect_surrogate.surrogates.card import read_card
from defect_surrogate.training.settings import TrainSettings

ROOT = Path(__file__).parents[1]
FAMILY = ROOT / "benchmarks" / "family"
SETTINGS = {"gfn1-bulk": "gfn1-bulk.yaml", "gfn1-defects": "gfn1-defects.yaml"}


@pytest.fixture(params=SETTINGS)
def folder(request):
    return ROOT / "models" / request.param


def card(folder):
    return json.loads((folder / "card.json").read_text())


def test_it_is_less_than_five_megabytes(folder):
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6


def test_its_files_and_weights_are_those_of_the_card(folder):
    assert load_potential(str(folder)).digest == card(folder)["digest"]


def test_it_was_made_by_the_committed_settings(folder):
    committed = yaml.safe_load((FAMILY / SETTINGS[folder.name]).read_text())
    assert TrainSettings.model_validate(yaml.safe_load(card(folder)["settings"])) == TrainSettings.model_validate(
        committed
    )


def test_the_defect_model_is_from_the_bulk_base_and_passed_the_gate():
    made = read_card(ROOT / "models" / "gfn1-defects")
    assert made.base == read_card(ROOT / "models" / "gfn1-bulk").digest
    assert not made.forced
    assert len(made.held_out) == 3  # its own errors, the base's and the baseline's


def test_no_unseen_host_is_in_training_or_validation(folder, monkeypatch):
    monkeypatch.syspath_prepend(FAMILY)
    from campaign import UNSEEN

    assert not {Composition(host).reduced_formula for host in UNSEEN} & read_card(folder).learnt


def test_it_has_no_path_of_a_machine(folder):
    assert "/" not in card(folder)["command"].replace("benchmarks/family/", "").replace("models/", "")
