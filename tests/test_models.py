"""The committed checkpoints are whole, small, made by the committed settings, and have not learnt from an unseen host."""

import json
from pathlib import Path

import pytest
import yaml

from defect_surrogate.surrogates import load_potential
from defect_surrogate.training.settings import TrainSettings

ROOT = Path(__file__).parents[1]
UNSEEN = {"CdTe", "ZnSe", "SbSeI", "AgGaSe2", "SnSe", "SnS2", "Sb2Se3", "BiSeBr"}
SETTINGS = {"gfn1-bulk": "gfn1-bulk.yaml"}


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
    committed = yaml.safe_load((ROOT / "benchmarks" / "family" / SETTINGS[folder.name]).read_text())
    assert TrainSettings.model_validate(yaml.safe_load(card(folder)["settings"])) == TrainSettings.model_validate(
        committed
    )


def test_no_unseen_host_is_in_training_or_validation(folder):
    split = card(folder)["split"]
    assert not UNSEEN & {*split["training"], *split["validation_unseen"]}


def test_it_has_no_path_of_a_machine(folder):
    assert "/" not in card(folder)["command"].replace("benchmarks/family/", "").replace("models/", "")
