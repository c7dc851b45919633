"""Publishing: what is loaded is what was trained, an earlier model is whole until the new one is, and nothing else is lost."""

import json
import multiprocessing
import os
import signal

import numpy as np
import pytest

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.errors import ArchiveError, InputError
from defect_surrogate.surrogates import load_potential
from defect_surrogate.surrogates.card import CardSplit, ModelCard, read_card
from defect_surrogate.surrogates.potentials import weights_digest
from defect_surrogate.training import checkpoint
from defect_surrogate.training.checkpoint import TrainedModel, check_replaceable, publish
from defect_surrogate.training.models import new_model, reference_energies
from defect_surrogate.training.settings import ArchitectureSettings

ELEMENTS = ("Br", "Cl", "K", "Na")
LEVEL = "HSE06 (VASP)"


@pytest.fixture(scope="module")
def trained(tiny):
    """Makes a model of a seed, trained on three of the elements its network has a place for."""

    def make(seed=1, *, units=4, curves="<svg/>"):
        architecture = ArchitectureSettings.model_validate(tiny.model_dump() | {"units": units})
        potential = new_model(architecture, elements=ELEMENTS, reference_energies=-np.ones(4), seed=seed)
        card = ModelCard(
            digest=weights_digest(potential),
            architecture="M3GNet",
            parameters=sum(parameter.numel() for parameter in potential.parameters()),
            elements=["Br", "K", "Na"],
            level_of_theory=LEVEL,
            base=None,
            data=["cd" * 32],
            split=CardSplit(
                training=["KBr", "NaBr"],
                validation_unseen=[],
                test=["NaCl"],
                training_frames=20,
                validation_frames=2,
                test_frames=10,
            ),
            reference_energies=dict.fromkeys(ELEMENTS, -1.0),
            reference_energies_from="made up",
            settings="epochs: 3\n",
            epochs=3,
            best_epoch=2,
            held_out=[],
            forced=True,
            ensemble=[],
            versions={"matgl": "4.1.2"},
            ran_on=["CPU, torch 2.13.0"],
            command="defect-surrogate train train.yaml --out model",
            created="2026-11-24T12:00:00+00:00",
        )
        return TrainedModel(potential, card, curves)

    return make


def files(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_a_published_model_is_loaded_as_it_was_trained(trained, tmp_path, salt):
    model = trained()
    card = publish([model], tmp_path / "deep" / "model")
    assert set(files(tmp_path / "deep")) == {
        f"model/{name}" for name in ("model.pt", "state.pt", "model.json", "card.json", "README.md", "curves.svg")
    }
    potential = load_potential(str(tmp_path / "deep" / "model"))
    assert potential.digest == card.digest == weights_digest(model.potential)
    assert potential.made_for == LEVEL
    assert potential.elements == {"Br", "K", "Na"}
    assert LEVEL in potential.level_of_theory
    np.testing.assert_array_equal(reference_energies(potential.calculator.potential), -1.0)
    atoms = salt("NaBr")
    atoms.calc = potential.calculator
    assert np.isfinite(atoms.get_potential_energy())


def test_the_card_holds_the_digest_of_each_file(trained, tmp_path):
    card = publish([trained()], tmp_path / "model")
    assert read_card(tmp_path / "model") == card
    assert card.files == {
        name: file_digest(tmp_path / "model" / name) for name in ("curves.svg", "model.json", "model.pt", "state.pt")
    }
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    assert description["metadata"]["level_of_theory"] == LEVEL
    assert "made up" in (tmp_path / "model" / "README.md").read_text()


def test_an_ensemble_has_its_members_beside_the_first(trained, tmp_path):
    models = [trained(1), trained(2, curves=None), trained(3, curves=None)]
    publish(models, tmp_path / "model")
    places = [tmp_path / "model", tmp_path / "model" / "ensemble" / "2", tmp_path / "model" / "ensemble" / "3"]
    for model, place in zip(models, places, strict=True):
        potential = load_potential(str(place))
        assert potential.digest == weights_digest(model.potential)
        assert potential.made_for == LEVEL
        assert (place / "curves.svg").exists() == (model is models[0])
    assert len({read_card(place).digest for place in places}) == 3


def test_a_new_model_replaces_an_earlier_one_with_its_ensemble(trained, tmp_path):
    publish([trained(1), trained(2, curves=None)], tmp_path / "model")
    card = publish([trained(3)], tmp_path / "model")
    assert load_potential(str(tmp_path / "model")).digest == card.digest
    assert not (tmp_path / "model" / "ensemble").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_file_system_that_cannot_exchange_two_names_does_in_the_end_the_same(
    trained, tmp_path, monkeypatch, can_exchange
):
    if not can_exchange:
        monkeypatch.setattr(checkpoint, "_exchange", lambda first, second: False)
    publish([trained(1)], tmp_path / "model")
    card = publish([trained(2)], tmp_path / "model")
    assert load_potential(str(tmp_path / "model")).digest == card.digest
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_at_no_instant_is_there_no_model(trained, tmp_path, monkeypatch):
    """Looked for after every single step that moves, removes or writes anything by name."""
    made = tmp_path / "model"
    publish([trained(1)], made)
    seen = []

    def looking(step):
        def then(*arguments, **others):
            result = step(*arguments, **others)
            seen.append((made / "card.json").exists())
            return result

        return then

    for name in ("rename", "replace", "unlink", "rmdir", "open"):
        monkeypatch.setattr(os, name, looking(getattr(os, name)))
    card = publish([trained(2)], made)
    assert len(seen) > 10
    assert all(seen)
    assert read_card(made).digest == card.digest


def test_if_the_new_model_cannot_take_the_name_the_earlier_one_gets_it_back(trained, tmp_path, monkeypatch):
    first, rename = publish([trained(1)], tmp_path / "model"), os.rename

    def failing(source, target):
        if str(source).endswith(".partial"):
            raise OSError("stale file handle")
        rename(source, target)

    monkeypatch.setattr(checkpoint, "_exchange", lambda first, second: False)
    monkeypatch.setattr(checkpoint.os, "rename", failing)
    with pytest.raises(ArchiveError, match="model: the model is not saved.*stale file handle"):
        publish([trained(2)], tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert load_potential(str(tmp_path / "model")).digest == first.digest


def test_kill_9_while_publishing_leaves_the_earlier_model_and_the_next_clears_up(trained, tmp_path, monkeypatch):
    made = tmp_path / "model"
    first = publish([trained(1)], made)
    forked = multiprocessing.get_context("fork")
    here, there = forked.Pipe()

    def wait(root):
        there.send("written")
        signal.pause()

    monkeypatch.setattr(checkpoint.durable, "sync_tree", wait)
    child = forked.Process(target=publish, args=([trained(2)], made))
    child.start()
    assert here.recv() == "written"
    child.kill()
    child.join()
    monkeypatch.undo()
    assert load_potential(str(made)).digest == first.digest
    second = publish([trained(2)], made)
    assert load_potential(str(made)).digest == second.digest
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_leaves_the_earlier_model_whole_and_nothing_else(trained, small_disk):
    """A disk of 300 kB, an earlier model of some 20 kB, and one with wider layers that has no room."""
    disk = small_disk("300k")
    first = publish([trained(1)], disk / "model")
    before = files(disk)
    with pytest.raises(ArchiveError, match="model: the model is not saved; is the disk full"):
        publish([trained(2, units=64)], disk / "model")
    assert files(disk) == before
    assert [path.name for path in disk.iterdir()] == ["model"]
    assert load_potential(str(disk / "model")).digest == first.digest
    with pytest.raises(ArchiveError, match="other: the model is not saved"):
        publish([trained(2, units=64)], disk / "other")
    assert [path.name for path in disk.iterdir()] == ["model"]


@pytest.mark.parametrize("beside", [None, "card.json"])
def test_what_is_not_of_a_model_is_never_replaced(trained, tmp_path, beside):
    """A folder of the user, and a model that the user has put something into."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").write_text("years of work")
    if beside is not None:
        (tmp_path / "model" / beside).write_text("{}")
    with pytest.raises(
        InputError, match=r"model: holds thesis.tex, which a model would replace; choose another folder"
    ):
        publish([trained()], tmp_path / "model")
    assert (tmp_path / "model" / "thesis.tex").read_text() == "years of work"


def test_a_checkpoint_without_a_card_and_a_file_are_not_replaced_and_an_empty_folder_is(trained, tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "model.json").write_text("{}")
    (tmp_path / "file").write_text("")
    for name in ("foreign", "file"):
        with pytest.raises(InputError, match=f"{name}: holds "):
            check_replaceable(tmp_path / name)
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent"):
        check_replaceable(tmp_path / name)
    publish([trained()], tmp_path / "empty")
    check_replaceable(tmp_path / "empty")
