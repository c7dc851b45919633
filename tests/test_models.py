"""The committed checkpoints are whole, small, made by the committed settings, and have not learnt from what tests them."""

import json
from pathlib import Path

import pytest
import yaml
from pymatgen.core import Composition

from defect_surrogate.surrogates import load_potential
from defect_surrogate.surrogates.card import read_card
from defect_surrogate.training.settings import TrainSettings

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
SETTINGS = {
    "gfn1-bulk": "family/gfn1-bulk.yaml",
    "gfn1-defects": "family/gfn1-defects.yaml",
    "gfn1-cdsete": "alloy/end-members-training.yaml",
}


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
    committed = yaml.safe_load((BENCHMARKS / SETTINGS[folder.name]).read_text())
    assert TrainSettings.model_validate(yaml.safe_load(card(folder)["settings"])) == TrainSettings.model_validate(
        committed
    )


def test_the_defect_model_is_from_the_bulk_base_and_passed_the_gate():
    made = read_card(ROOT / "models" / "gfn1-defects")
    assert made.base == read_card(ROOT / "models" / "gfn1-bulk").digest
    assert not made.forced
    assert len(made.held_out) == 3  # its own errors, the base's and the baseline's


def test_the_alloy_model_is_from_the_defect_model_and_has_seen_no_mixed_crystal():
    made = read_card(ROOT / "models" / "gfn1-cdsete")
    assert made.base == read_card(ROOT / "models" / "gfn1-defects").digest
    assert set(made.split.training) == {"CdSe", "CdTe"}
    assert not any({"Se", "Te"} <= {element.symbol for element in Composition(host)} for host in made.learnt)
    assert not made.forced
    assert len(made.held_out) == 3


@pytest.mark.parametrize("name", ["gfn1-bulk", "gfn1-defects"])
def test_no_unseen_host_is_in_training_or_validation(name, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS / "family")
    from campaign import UNSEEN

    assert not {Composition(host).reduced_formula for host in UNSEEN} & read_card(ROOT / "models" / name).learnt


def test_it_has_no_path_of_a_machine(folder):
    command = card(folder)["command"]
    for known in (f"benchmarks/{SETTINGS[folder.name]}", f"models/{folder.name}"):
        command = command.replace(known, "")
    assert "/" not in command
