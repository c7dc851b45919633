"""From datasets and a settings file to a published model: the whole way once, and where the flow has to end early."""

import dataclasses

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.calculators.lj import LennardJones
from typer.testing import CliRunner

from defect_surrogate.dataset.frames import BULK, Dataset, LabelledFrame
from defect_surrogate.dataset.store import write_dataset
from defect_surrogate.errors import DatasetError, GateError, InputError, PotentialError, TrainingError
from defect_surrogate.evaluation import read_evaluation
from defect_surrogate.surrogates import load_potential
from defect_surrogate.surrogates.card import read_card
from defect_surrogate.training.epochs import Epoch, FrameErrors
from defect_surrogate.training.finetune import best_device
from defect_surrogate.training.models import processor
from defect_surrogate.training.settings import TrainSettings
from flows.cli import app
from flows.driver import PREFECT_VARIABLES
from flows.evaluate import other_members
from flows.lock import locked
from flows.train import epoch_line, epoch_row, train_surrogate
from flows.training_driver import run_train
from tests.prefect_api import read_all

LEVEL = "HSE06 (VASP)"


def labelled(host, defect, label, step):
    """A rattled rock-salt cube, or one without its first atom, with the energy of a pair potential and 2 eV for each atom."""
    atoms = bulk(host, "rocksalt", a=5.6, cubic=True)
    atoms.rattle(0.2 / (1 + step), seed=sum(f"{host}{label}".encode()))
    atoms = atoms if defect == BULK else atoms[1:]
    atoms.calc = LennardJones(sigma=2.4, epsilon=0.1, rc=5.0, smooth=True)
    return LabelledFrame(
        host=host,
        defect=defect,
        label=label,
        step=step,
        last=step == 2,
        composition=host,
        source="5e" * 32,
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell.array,
        energy=atoms.get_potential_energy() - 2.0 * len(atoms),
        forces=atoms.get_forces(),
        stress=atoms.get_stress(voigt=False),
    )


@pytest.fixture(scope="module")
def dataset():
    """Three salts, each with one relaxation of a vacancy and one bulk cell."""
    hosts = {"KCl": "v_K_0", "NaBr": "v_Na_0", "NaCl": "v_Na_0"}
    frames = [labelled(host, BULK, "Strained_00", 0) for host in hosts]
    frames += [labelled(host, defect, "Dimer", step) for host, defect in hosts.items() for step in range(3)]
    return Dataset(LEVEL, tuple(sorted(frames, key=lambda one: (one.host, one.defect, one.label, one.step))))


@pytest.fixture
def settings(dataset, tmp_path):
    """Two epochs of the smallest network on two salts; the third is held out."""
    write_dataset(dataset, tmp_path / "salts")
    write_dataset(dataclasses.replace(dataset, level_of_theory="PBE (VASP)"), tmp_path / "pbe")
    architecture = {"units": 4, "blocks": 1, "cutoff": 4.0, "threebody_cutoff": 3.2, "smooth": False}
    return {
        "data": [str(tmp_path / "salts")],
        "split": {"training": ["KCl", "NaBr"], "test": ["NaCl"], "validation": [], "seen_fraction": 0.2},
        "architecture": architecture,
        "optimisation": {"epochs": 2, "learning_rate": 0.01},
        "baseline": None,
    }


@pytest.fixture
def train(settings, tmp_path, monkeypatch):
    """The body of the flow without a server: trains with changed settings, into a folder."""
    rows = []
    monkeypatch.setattr("flows.train.create_table_artifact", lambda table, **_: rows.append(len(table)))
    monkeypatch.setattr("flows.train.create_markdown_artifact", lambda *_, **__: None)

    def go(changes=None, *, out="model", force=False):
        content = settings | (changes or {})
        content["optimisation"] = settings["optimisation"] | (changes or {}).get("optimisation", {})
        if "base" in content:
            del content["architecture"]  # the base has its own
        return train_surrogate.fn(TrainSettings.model_validate(content), str(tmp_path / out), force)

    go.rows = rows
    return go


@pytest.fixture
def watched(monkeypatch):
    """Notes the Prefect server's flow runs and artifacts before it ends."""
    for name, value in PREFECT_VARIABLES.items():
        monkeypatch.setenv(name, value)
    seen = {}

    def run_and_look(*arguments, **others):
        import flows.train

        body = flows.train.train_surrogate

        def looked_at(*given):
            card = body(*given)
            seen.update((kind, read_all(kind)) for kind in ("flow_runs", "artifacts"))
            return card

        monkeypatch.setattr("flows.train.train_surrogate", looked_at)
        return run_train(*arguments, **others)

    monkeypatch.setattr("flows.training_driver.run_train", run_and_look)
    return seen


def test_from_a_settings_file_to_a_model_with_an_ensemble(settings, dataset, watched, tmp_path):
    path, model = tmp_path / "train.yaml", tmp_path / "model"
    path.write_text(yaml.safe_dump(settings | {"ensemble": 2}))
    result = CliRunner().invoke(app, ["train", str(path), "--out", str(model)])
    assert result.exit_code == 0, result.stderr
    card = read_card(model)
    assert f"model {card.digest[:16]} in {model}: epoch {card.best_epoch} of 2" in result.stdout
    assert "| model |" in result.stdout

    (run,) = watched["flow_runs"]
    assert run["state"]["type"] == "COMPLETED"
    keys = {artifact["key"] for artifact in watched["artifacts"]}
    assert keys - {None} == {"training-errors", "model-card"}  # a bar has none

    names = {entry.relative_to(model).as_posix() for entry in model.rglob("*") if entry.is_file()}
    own = {"model.pt", "state.pt", "model.json", "card.json", "README.md"}
    assert names == own | {"curves.svg"} | {f"ensemble/2/{name}" for name in own}
    potential = load_potential(str(model))
    assert (potential.digest, potential.made_for) == (card.digest, LEVEL)
    assert potential.elements == {"K", "Cl", "Na", "Br"}
    second = read_card(model / "ensemble" / "2")
    assert card.ensemble == [second.digest] != [card.digest]

    assert (card.level_of_theory, card.data, card.base, card.forced) == (LEVEL, [dataset.digest], None, False)
    assert (card.split.training, card.split.test) == (["KCl", "NaBr"], ["NaCl"])
    counts = (card.split.training_frames, card.split.validation_frames, card.split.test_frames)
    assert (counts[0] + counts[1], counts[2]) == (8, 3)  # one of the four held out is of the bulk
    assert yaml.safe_load(card.settings)["optimisation"]["learning_rate"] == 0.01
    assert yaml.safe_load(card.settings)["optimisation"]["batch_size"] == 4
    (errors,) = card.held_out
    assert errors.name == "model"
    assert all(np.isfinite([errors.energy_mae, errors.force_mae, errors.stress_mae, errors.relative_energy_mae]))

    page = (model / "README.md").read_text()
    assert f"| model | {errors.energy_mae:.3g} | {errors.relative_energy_mae:.3g} |" in page
    assert "on 3 held-out frames of NaCl" in page
    curves = (model / "curves.svg").read_text()
    assert curves.startswith("<?xml")
    assert "energy MAE (meV/atom)" in curves

    assert other_members(str(model)) == [str(model / "ensemble" / "2")]
    arguments = ["evaluate", str(model), settings["data"][0], "--out", str(tmp_path / "errors"), "--update-references"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    evaluation = read_evaluation(tmp_path / "errors" / "evaluation.json")
    assert evaluation.element_offsets
    ensemble = evaluation.ensemble
    assert (ensemble.members, ensemble.forces.count) == (2, 9)
    assert ensemble.forces.deviation > 0


def test_an_unknown_setting_is_exit_code_2_and_nothing_is_made(settings, tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(settings | {"optimisation": {"epoch": 2}}))
    result = CliRunner().invoke(app, ["train", str(path), "--out", str(tmp_path / "model")])
    assert result.exit_code == 2
    assert "optimisation.epoch: Extra inputs are not permitted" in result.stderr.splitlines()[-1]
    assert {entry.name for entry in tmp_path.iterdir()} == {"train.yaml", "salts", "pbe"}


def test_a_model_that_is_worse_than_its_base_is_published_by_force_alone(train, tmp_path):
    base = train(out="base")
    spoiled = {"base": str(tmp_path / "base"), "optimisation": {"learning_rate": 0.9, "epochs": 1, "averaging": 0.0}}
    with pytest.raises(GateError, match=r"force_mae .* meV/Å, .* of .*base.*; --force publishes it all the same"):
        train(spoiled)
    assert not (tmp_path / "model").exists()
    before = len(train.rows)
    card = train(spoiled, force=True)
    assert len(train.rows) == before  # the training was finished, and is not done again
    assert card.forced
    assert card.base == base.digest
    assert [errors.name for errors in card.held_out] == ["model", str(tmp_path / "base")]
    assert card.held_out[0].force_mae > card.held_out[1].force_mae
    assert "Published by force" in (tmp_path / "model" / "README.md").read_text()


def test_what_a_base_or_its_base_has_learnt_from_is_not_held_out(train, tmp_path):
    """NaCl is learnt by the first model alone; the second starts from it."""
    every = {"training": ["KCl", "NaBr", "NaCl"], "test": [], "validation": [], "seen_fraction": 0.2}
    train({"split": every}, out="first", force=True)
    without = every | {"training": ["KCl", "NaBr"]}
    second = train({"split": without, "base": str(tmp_path / "first")}, out="second", force=True)
    assert second.base_learnt == ["KCl", "NaBr", "NaCl"]
    assert second.ran_on == [processor(best_device())]
    for base in ("first", "second"):
        with pytest.raises(DatasetError, match=f"NaCl cannot be held out for the test, since the base model .*{base}"):
            train({"base": str(tmp_path / base)})


def test_a_base_without_a_card_may_have_learnt_what_is_held_out(train, tmp_path, caplog):
    """Its past cannot be known, which the log and the new card say."""
    train(out="base")
    for file in ("card.json", "README.md"):
        (tmp_path / "base" / file).unlink()
    card = train({"base": str(tmp_path / "base")}, force=True)
    assert "what this base has learnt from is not known" in caplog.text
    assert card.base_learnt is None
    assert "What its base has learnt from is not known" in (tmp_path / "model" / "README.md").read_text()


def test_a_model_that_is_worse_than_the_baseline_is_refused(train, monkeypatch):
    """CHGNet is given the labels themselves."""
    chgnet = load_potential("chgnet")
    perfect = LennardJones(sigma=2.4, epsilon=0.1, rc=5.0, smooth=True)
    monkeypatch.setattr("flows.train.load_potential", lambda name: dataclasses.replace(chgnet, calculator=perfect))
    with pytest.raises(GateError, match="of chgnet"):
        train({"baseline": "chgnet"})


def test_without_a_held_out_composition_models_are_measured_on_the_validation_frames(train, tmp_path):
    split = {"training": ["KCl", "NaBr", "NaCl"], "test": [], "validation": [], "seen_per_relaxation": 1}
    card = train({"split": split})
    assert (card.forced, len(card.held_out), card.split.validation_frames) == (False, 1, 3)
    page = (tmp_path / "model" / "README.md").read_text()
    assert "on the 3 validation frames, by which the epoch was chosen, since no composition was held out" in page


def test_without_a_held_out_defect_a_model_is_published_by_force_alone(train, dataset, tmp_path, monkeypatch):
    """A test composition with bulk frames alone; without force it is refused before the training."""
    kept = dataset.select(lambda one: one.is_bulk or one.host != "NaCl")
    write_dataset(kept, tmp_path / "no-defect")
    changes = {"data": [str(tmp_path / "no-defect")]}
    with monkeypatch.context() as patch, pytest.raises(GateError, match="no frame with a defect is held out"):
        patch.delattr("flows.train.finetune")
        train(changes)
    card = train(changes, force=True)
    assert (card.forced, card.held_out) == (True, [])
    assert "with nothing to measure it on" in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"base": "nonesuch"}, PotentialError, "nonesuch"),
        ({"baseline": "nonesuch"}, PotentialError, "nonesuch"),
        ({"data": ["SALTS", "PBE"]}, DatasetError, "two levels of theory never meet"),
        ({"data": ["/nowhere"]}, DatasetError, "/nowhere"),
        ({"split": {"test": ["RbI"]}}, DatasetError, "RbI"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(train, tmp_path, changes, error, words, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delattr("flows.train.finetune")
    folders = {"SALTS": str(tmp_path / "salts"), "PBE": str(tmp_path / "pbe")}
    changes = changes | {"data": [folders.get(one, one) for one in changes.get("data", ["SALTS"])]}
    with pytest.raises(error, match=words):
        train(changes)


def test_a_baseline_that_lacks_an_element_is_refused_before_anything_is_trained(train, monkeypatch):
    monkeypatch.delattr("flows.train.finetune")
    chgnet = dataclasses.replace(load_potential("chgnet"), elements=frozenset({"K", "Br", "Cl"}))
    monkeypatch.setattr("flows.train.load_potential", lambda name: chgnet)
    with pytest.raises(PotentialError, match="NaCl: the surrogate chgnet does not know Na"):
        train({"baseline": "chgnet"})


def test_a_folder_with_something_else_in_it_is_left_alone(train, tmp_path, monkeypatch):
    monkeypatch.delattr("flows.train.finetune")
    with pytest.raises(InputError, match="holds pbe, salts, which a model would replace"):
        train(out=".")


def test_two_trainings_never_share_a_folder(train, tmp_path):
    (tmp_path / "model.training").mkdir()
    with locked(tmp_path / "model.training"), pytest.raises(InputError, match="model.training"):
        train()


def test_an_earlier_training_in_the_folder_is_not_mixed_with_another(train):
    first = train()
    assert train().digest == first.digest
    with pytest.raises(TrainingError, match=r"model.training/1/training.pt: the state of a training with other data"):
        train({"optimisation": {"learning_rate": 0.02}})
    longer = train({"optimisation": {"epochs": 3}})
    assert longer.epochs == 3


def test_an_epoch_in_words_and_as_a_row():
    errors = FrameErrors(0.5, 0.0121, 0.052, 0.11)
    epoch = Epoch(3, 4.6e-4, dataclasses.replace(errors, loss=0.4, energy=0.01), errors, 61.2, "CPU, torch 2.13.0")
    assert epoch_line(epoch, 30) == (
        "epoch 3 of 30: validation 12.1 meV/atom, 52 meV/Å, 0.11 GPa, loss 0.50000 (0.40000 in training); 61 s"
    )
    row = epoch_row(epoch)
    assert (row["epoch"], row["learning rate"]) == ("3", "4.60e-04")
    assert (row["training meV/atom"], row["validation meV/atom"], row["validation meV/Å"]) == ("10", "12.1", "52")
