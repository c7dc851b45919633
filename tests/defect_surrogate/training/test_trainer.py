"""The training loop: what it minimises, when it stops, and that nothing is lost or changed by an interruption."""

import math
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

from defect_surrogate.errors import DatasetError, TrainingError
from defect_surrogate.training import trainer
from defect_surrogate.training.graphs import frame_graphs
from defect_surrogate.training.models import freeze, new_model
from defect_surrogate.training.saved_state import STATE_FILE
from defect_surrogate.training.settings import OptimisationSettings
from defect_surrogate.training.trainer import mean_errors, train

ELEMENTS = ("Br", "Cl", "K", "Na")
REFERENCES = np.array([-2.5, -3.0, -1.0, -1.5])
SETTINGS = OptimisationSettings(epochs=3, batch_size=4, learning_rate=0.01)
STEPS = 3  # of an epoch


@pytest.fixture(scope="module")
def graphs(data):
    """Ten training graphs, three steps of an epoch, and two for validation."""

    def made(frames):
        return frame_graphs(frames, elements=ELEMENTS, cutoff=4.5, reference_energies=REFERENCES)

    return made(data.train.frames[::3]), made(data.validation.frames)


@pytest.fixture
def network(tiny):
    return lambda: new_model(tiny, elements=ELEMENTS, reference_energies=REFERENCES, seed=1)


@pytest.fixture
def run(graphs, network, tmp_path):
    """Trains anew, or goes on in a folder; returns the training and the weights it ended with."""

    def go(folder="state", *, settings=SETTINGS, identity="one", on_step=None):
        potential = network()
        training = train(
            potential, *graphs, settings=settings, folder=tmp_path / folder, identity=identity, on_step=on_step
        )
        return training, potential

    return go


def losses(training):
    return [(epoch.training, epoch.validation, epoch.learning_rate) for epoch in training.epochs]


def weights(potential):
    return torch.cat([parameter.detach().flatten() for parameter in potential.parameters()])


class Interruption(Exception):
    pass


def after(steps):
    """Interrupts when so many steps are done, over all epochs."""
    left = iter(range(steps, -1, -1))

    def on_step(done, total):
        assert total == STEPS
        if next(left) == 1:
            raise Interruption

    return on_step


def test_it_learns(graphs, network, tmp_path):
    """One frame by heart."""
    settings = OptimisationSettings(epochs=40, learning_rate=0.03, averaging=0.5)
    potential = network()
    training = train(
        potential, graphs[0][2:3], graphs[0][2:3], settings=settings, folder=tmp_path / "state", identity="one"
    )
    before = mean_errors(network(), graphs[0][2:3], settings=settings).loss
    assert training.best.validation.loss < 0.5 * before


def test_it_ends_with_the_weights_of_the_best_epoch(run, graphs):
    training, potential = run()
    assert [epoch.number for epoch in training.epochs] == [1, 2, 3]
    assert training.best == min(training.epochs, key=lambda epoch: epoch.validation.loss)
    assert mean_errors(potential, graphs[1], settings=SETTINGS) == training.best.validation
    rates = [epoch.learning_rate for epoch in training.epochs]
    assert rates == pytest.approx([0.01, 0.01 * 0.96, 0.01 * 0.96**2])


def test_the_best_epoch_need_not_be_the_last(run, graphs):
    """With a learning rate that leaps about, without averaging."""
    settings = OptimisationSettings(epochs=6, learning_rate=0.3, averaging=0.0, seed=4)
    training, potential = run(settings=settings)
    assert training.best.number < 6
    assert mean_errors(potential, graphs[1], settings=settings) == training.best.validation


def test_the_errors_of_an_epoch_are_those_of_its_frames(run, graphs, network):
    """With a learning rate too small to change anything, all steps have the first weights, in training and validation."""
    training, _ = run(settings=OptimisationSettings(epochs=1, learning_rate=1e-12))
    for errors, part in ((training.best.training, graphs[0]), (training.best.validation, graphs[1])):
        expected = mean_errors(network(), part, settings=OptimisationSettings(batch_size=len(part)))
        for name in ("loss", "energy", "force", "stress"):
            assert getattr(errors, name) == pytest.approx(getattr(expected, name), rel=1e-4)


def test_the_running_mean_of_the_weights_is_what_is_kept(run, network, graphs, monkeypatch):
    """The mean by its definition, w ← d w + (1 − d) v with d = min(0.99, (1 + n) / (10 + n)) after step n."""
    passed = [weights(network())]
    potential = network()
    step = torch.optim.Adam.step

    def noted(self, *arguments):
        step(self, *arguments)
        passed.append(torch.cat([value.detach().flatten() for value in self.param_groups[0]["params"]]))

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    settings = OptimisationSettings(epochs=1, learning_rate=0.01)
    _, potential = run(settings=settings)
    mean = passed[0].double()
    for n, now in enumerate(passed[1:], start=1):
        decay = min(settings.averaging, (1 + n) / (10 + n))
        mean = decay * mean + (1 - decay) * now.double()
    np.testing.assert_allclose(weights(potential), mean, atol=1e-6)
    assert (weights(potential) - passed[-1]).abs().max() > 1e-3


def test_averaging_is_for_validation_and_never_fed_back(run, unbroken):
    """The steps of the training, and so its errors, are the same with and without it; those of validation are not."""
    plain, _ = run(settings=SETTINGS.model_copy(update={"averaging": 0.0}))
    assert [epoch.training for epoch in plain.epochs] == [epoch.training for epoch in unbroken[0].epochs]
    assert [epoch.validation for epoch in plain.epochs] != [epoch.validation for epoch in unbroken[0].epochs]


@pytest.fixture(scope="module")
def unbroken(graphs, tiny, tmp_path_factory):
    """A training that nothing interrupts, and its model."""
    potential = new_model(tiny, elements=ELEMENTS, reference_energies=REFERENCES, seed=1)
    folder = tmp_path_factory.mktemp("unbroken")
    return train(potential, *graphs, settings=SETTINGS, folder=folder, identity="one"), potential


def test_a_training_that_goes_on_elsewhere_says_of_each_epoch_where_it_ran(run, monkeypatch):
    monkeypatch.setattr(trainer, "processor", lambda device: f"first {device.type}")
    run(settings=SETTINGS.model_copy(update={"epochs": 1}))
    monkeypatch.setattr(trainer, "processor", lambda device: f"second {device.type}")
    training, _ = run()
    assert [epoch.ran_on for epoch in training.epochs] == ["first cpu", *["second cpu"] * (SETTINGS.epochs - 1)]


@pytest.mark.parametrize("steps", [1, 5, 6, 8])
def test_an_interrupted_training_goes_on_as_if_it_never_was(run, unbroken, monkeypatch, steps):
    """In the first step, in the middle of the second epoch, at its last step and in the third."""
    monkeypatch.setattr(trainer, "SAVE_SECONDS", -1.0)
    with pytest.raises(Interruption):
        run(on_step=after(steps))
    resumed, potential = run()
    assert losses(resumed) == losses(unbroken[0])
    assert torch.equal(weights(potential), weights(unbroken[1]))


@pytest.mark.parametrize("trainable", ["all", "last two layers"])
def test_so_does_a_training_by_defect_with_scaled_layers(graphs, network, tmp_path, monkeypatch, trainable):
    """What the committed models have: batches of one defect, Huber's loss, learning rates of their own, frozen layers."""
    monkeypatch.setattr(trainer, "SAVE_SECONDS", -1.0)
    settings = SETTINGS.model_copy(update={"relative_energy_weight": 10.0, "huber_delta": 0.01, "batch_size": 2})

    def go(folder, on_step=None):
        potential = network()
        freeze(potential, trainable)
        scaled = next(name for name, one in reversed(list(potential.named_parameters())) if one.requires_grad)
        arguments = {"settings": settings, "folder": tmp_path / folder, "identity": "one", "scales": {scaled: 0.1}}
        return train(potential, *graphs, **arguments, on_step=on_step), potential

    unbroken, whole = go("unbroken")
    left = iter(range(7))

    def interrupt(done, total):
        if next(left) == 6:
            raise Interruption

    with pytest.raises(Interruption):
        go("state", interrupt)
    resumed, potential = go("state")
    assert losses(resumed) == losses(unbroken)
    assert torch.equal(weights(potential), weights(whole))
    assert not torch.equal(weights(potential), weights(network()))


def test_kill_9_in_the_middle_of_an_epoch_changes_nothing(run, unbroken, monkeypatch):
    """A process that is killed after the second step of the second epoch; all losses equal the unbroken ones exactly."""
    monkeypatch.setattr(trainer, "SAVE_SECONDS", -1.0)
    forked = multiprocessing.get_context("fork")  # spares the seconds of imports
    here, there = forked.Pipe()

    def on_step(done, total):
        there.send(done)
        there.recv()

    child = forked.Process(target=run, kwargs={"on_step": on_step})
    child.start()
    for step in (1, 2, 3, 1):
        assert here.recv() == step
        here.send("go on")
    assert here.recv() == 2  # done, and not saved yet
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    seen = []
    resumed, potential = run(on_step=lambda done, total: seen.append(done))
    assert seen == [2, 3, 1, 2, 3]
    assert losses(resumed) == losses(unbroken[0])
    assert torch.equal(weights(potential), weights(unbroken[1]))


def test_a_finished_training_returns_at_once(run):
    first, potential = run()
    seen = []
    again, same = run(on_step=lambda done, total: seen.append(done))
    assert seen == []
    assert (again, weights(same).tolist()) == (first, weights(potential).tolist())


def test_a_finished_training_is_prolonged_by_more_epochs(run, unbroken):
    run(settings=SETTINGS.model_copy(update={"epochs": 2}))
    prolonged, _ = run()
    assert losses(prolonged) == losses(unbroken[0])


def test_a_training_of_more_epochs_than_are_asked_for_is_not_passed_off_as_a_shorter_one(run):
    run(settings=SETTINGS.model_copy(update={"epochs": 2}))
    with pytest.raises(TrainingError, match=r"state: holds a training of 2 epochs, and 1 are asked for"):
        run(settings=SETTINGS.model_copy(update={"epochs": 1}))


def test_early_stopping(run):
    """A learning rate of nearly nothing after the first epoch: no later one is better by a digit that counts."""
    settings = OptimisationSettings(epochs=50, learning_rate=0.3, learning_rate_decay=1e-20, averaging=0.0, patience=3)
    training, _ = run(settings=settings)
    assert len(training.epochs) == training.best.number + 3 < 50
    patient, _ = run(settings=settings.model_copy(update={"patience": 5}))
    assert len(patient.epochs) == patient.best.number + 5


@pytest.fixture
def saved(run, tmp_path):
    """The file of a finished training."""
    run(settings=SETTINGS.model_copy(update={"epochs": 1}))
    return tmp_path / "state" / STATE_FILE


def test_the_state_of_another_training_is_not_continued(run, saved):
    with pytest.raises(TrainingError, match=f"{saved}: the state of a training with other data or settings"):
        run(identity="another")


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: [state],
        lambda state: {"identity": "one"},
        lambda state: state | {"parameters": state["parameters"][:3]},
        lambda state: state | {"average": None},
        lambda state: state | {"best": [value[:0] for value in state["best"]]},
        lambda state: state | {"state": {"step": 1, "stride": 2}},
        lambda state: state | {"optimiser": {}},
    ],
)
def test_a_state_of_strange_content_is_named(run, saved, damage):
    torch.save(damage(torch.load(saved, weights_only=True)), saved)
    with pytest.raises(TrainingError, match=f"{saved}: cannot be continued"):
        run()


def test_a_loss_that_is_no_number_ends_the_training(run, network, graphs, tmp_path):
    potential = network()
    with torch.no_grad():
        next(potential.parameters()).fill_(math.nan)
    with pytest.raises(TrainingError, match="epoch 1, step 1: the loss is nan; lower learning_rate"):
        train(potential, *graphs, settings=SETTINGS, folder=tmp_path / "state", identity="one")
    assert not (tmp_path / "state" / STATE_FILE).exists()


def test_a_validation_loss_that_is_no_number_ends_it_too(graphs, network, tmp_path, monkeypatch):
    """The very last step breaks the weights: no epoch with such a loss is ever the best."""

    def broken(self):
        for value in self.param_groups[0]["params"]:
            value.data.fill_(math.inf)

    monkeypatch.setattr(torch.optim.Adam, "step", broken)
    settings = OptimisationSettings(epochs=1, batch_size=100)
    with pytest.raises(TrainingError, match="epoch 1, validation: the loss is nan"):
        train(network(), *graphs, settings=settings, folder=tmp_path / "state", identity="one")


def test_without_stress_labels_the_stress_error_is_unknown_and_the_loss_is_not(frame, network, tmp_path):
    graphs = frame_graphs([frame(stress=False)], elements=ELEMENTS, cutoff=4.5, reference_energies=REFERENCES)
    training = train(
        network(), graphs, graphs, settings=OptimisationSettings(epochs=1), folder=tmp_path / "state", identity="one"
    )
    assert math.isnan(training.best.validation.stress)
    assert math.isfinite(training.best.validation.loss)


def test_frames_that_are_missing_are_counted(graphs, network, tmp_path):
    with pytest.raises(DatasetError, match="10 frames to train on and 0 to validate with: each needs one"):
        train(network(), graphs[0], [], settings=SETTINGS, folder=tmp_path / "state", identity="one")
    assert os.listdir(tmp_path) == []
