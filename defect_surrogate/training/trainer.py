"""The training loop: seeded, validated each epoch, stopped early, and resumable in the middle of an epoch.

The order of the frames in an epoch follows from the seed and the number of the epoch alone, and the networks draw no random
numbers, so that a training continued from its saved state takes the very steps of one that was never interrupted.
"""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from matgl.apps.pes import Potential

from defect_surrogate.errors import DatasetError, TrainingError
from defect_surrogate.training.basis_layers import parameter_groups
from defect_surrogate.training.batches import epoch_batches
from defect_surrogate.training.epochs import Epoch, FrameErrors, Training
from defect_surrogate.training.graphs import FrameBatch, FrameGraph, batch_of
from defect_surrogate.training.loss import batch_errors, weighted_loss
from defect_surrogate.training.models import processor, threebody_cutoff
from defect_surrogate.training.saved_state import save_state, saved_state
from defect_surrogate.training.settings import OptimisationSettings

logger = logging.getLogger(__name__)

SAVE_SECONDS = 60.0
"""Least time between two saved states within an epoch, so that a kill costs a minute; a state is some megabytes."""


@dataclass
class _State:
    """What changes while training, and is saved."""

    epoch: int = 1
    step: int = 0
    seconds: float = 0.0
    losses: torch.Tensor = dataclasses.field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))
    absolute: torch.Tensor = dataclasses.field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    counts: torch.Tensor = dataclasses.field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))
    epochs: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def train(
    potential: Potential,
    training: Sequence[FrameGraph],
    validation: Sequence[FrameGraph],
    *,
    settings: OptimisationSettings,
    folder: Path,
    identity: str,
    scales: Mapping[str, float] = MappingProxyType({}),
    on_step: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Training:
    """Train a model, or go on where an earlier call with the same inputs was killed.

    Parameters
    ----------
    potential
        The model; its parameters that require a gradient are changed in place, and end as those of the best epoch.
    training, validation
        Frames, at least one of each.
    settings
        Loss, optimiser and stopping.
    folder
        Where the state is kept; made when missing.
    identity
        Digest of all inputs: the state of a training with another identity is not continued.
    scales
        Factors on the learning rate of some weights, by their names; 1 for the others. Part of the inputs: ``identity`` has to
        tell them.
    on_step
        Called with the steps done in this epoch and all its steps.
    on_epoch
        Called at the end of each epoch.

    Returns
    -------
    Training
        Errors of all epochs, those of earlier calls among them.

    Raises
    ------
    DatasetError
        If there is no frame to train on or to validate with.
    TrainingError
        If the loss is no longer a number, or the state in the folder is damaged, of other inputs or of more epochs.
    ArchiveError
        If the state cannot be saved, for example because the disk is full. The last saved one stays whole.
    """
    if not training or not validation:
        raise DatasetError(f"{len(training)} frames to train on and {len(validation)} to validate with: each needs one")
    loop = _Loop(
        potential,
        training,
        validation,
        settings=settings,
        folder=folder,
        identity=identity,
        scales=scales,
        on_step=on_step,
    )
    return loop.run(on_epoch)


def mean_errors(potential: Potential, graphs: Sequence[FrameGraph], *, settings: OptimisationSettings) -> FrameErrors:
    """Return the errors of a model on frames.

    Parameters
    ----------
    potential
        The model.
    graphs
        Frames.
    settings
        Weights of the loss, and the size of a batch.

    Returns
    -------
    FrameErrors
        Means over all frames.
    """
    state = _State()
    potential.eval()
    device = potential.data_mean.device
    for chosen in epoch_batches([graph.group for graph in graphs], settings=settings, epoch=None):
        batch = batch_of([graphs[i] for i in chosen], threebody_cutoff=threebody_cutoff(potential), device=device)
        _add(state, batch_errors(potential, batch, huber_delta=settings.huber_delta))
    return _means(state, settings)


class _Loop:
    """One call of ``train``."""

    def __init__(
        self,
        potential: Potential,
        training: Sequence[FrameGraph],
        validation: Sequence[FrameGraph],
        *,
        settings: OptimisationSettings,
        folder: Path,
        identity: str,
        scales: Mapping[str, float],
        on_step: Callable[[int, int], None] | None,
    ) -> None:
        self._potential = potential
        self._training = training
        self._validation = validation
        self._groups = [graph.group for graph in training]
        self._settings = settings
        self._folder = folder
        self._identity = identity
        self._on_step = on_step
        self._cutoff = threebody_cutoff(potential)
        self._device = potential.data_mean.device
        self._parameters = [parameter for parameter in potential.parameters() if parameter.requires_grad]
        self._optimiser = torch.optim.Adam(parameter_groups(potential, scales), lr=settings.learning_rate)
        self._average = [parameter.detach().clone() for parameter in self._parameters]
        self._best = [parameter.detach().clone() for parameter in self._parameters]
        self._state = _State()

    def run(self, on_epoch: Callable[[Epoch], None] | None) -> Training:
        """Train to the end."""
        self._restore()
        while not self._is_finished():
            epoch = self._run_epoch()
            if on_epoch is not None:
                on_epoch(epoch)
        epochs = tuple(_epoch(content) for content in self._state.epochs)
        self._load(self._best)
        return Training(epochs, min(epochs, key=_loss))

    def _is_finished(self) -> bool:
        epochs = [_epoch(content) for content in self._state.epochs]
        if not epochs:
            return False
        since_best = len(epochs) - min(epochs, key=_loss).number
        return len(epochs) >= self._settings.epochs or since_best >= self._settings.patience

    def _run_epoch(self) -> Epoch:
        state, settings = self._state, self._settings
        batches = epoch_batches(self._groups, settings=settings, epoch=state.epoch)
        learning_rate = settings.learning_rate * settings.learning_rate_decay ** (state.epoch - 1)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate * group["scale"]
        began = saved = time.monotonic()
        before = state.seconds
        self._potential.train()
        for step in range(state.step, len(batches)):
            chosen = [self._training[i] for i in batches[step]]
            batch = batch_of(chosen, threebody_cutoff=self._cutoff, device=self._device)
            self._step(batch, done=step + 1 + (state.epoch - 1) * len(batches))
            state.step = step + 1
            state.seconds = before + time.monotonic() - began
            if self._on_step is not None:
                self._on_step(state.step, len(batches))
            if time.monotonic() - saved > SAVE_SECONDS:
                self._save()
                saved = time.monotonic()
        epoch = self._validated(learning_rate, before + time.monotonic() - began)
        state.epochs.append(dataclasses.asdict(epoch))
        state.epoch, state.step, state.seconds = state.epoch + 1, 0, 0.0
        fresh = _State()
        state.losses, state.absolute, state.counts = fresh.losses, fresh.absolute, fresh.counts
        if min((_epoch(content) for content in state.epochs), key=_loss).number == epoch.number:
            self._best = [value.clone() for value in self._average]
        self._save()
        return epoch

    def _step(self, batch: FrameBatch, *, done: int) -> None:
        errors = batch_errors(self._potential, batch, huber_delta=self._settings.huber_delta)
        loss = weighted_loss(errors.losses, errors.counts, self._settings)
        self._check(float(loss.detach()), f"step {self._state.step + 1}")
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=self._parameters)  # positions and strain are leaves too, and need no gradient
        torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.largest_gradient)
        self._optimiser.step()
        decay = min(self._settings.averaging, (1 + done) / (10 + done))  # the first steps are soon forgotten
        with torch.no_grad():
            torch._foreach_lerp_(self._average, self._parameters, 1 - decay)
        _add(self._state, errors)

    def _validated(self, learning_rate: float, seconds: float) -> Epoch:
        current = [parameter.detach().clone() for parameter in self._parameters]
        self._load(self._average)
        errors = mean_errors(self._potential, self._validation, settings=self._settings)
        self._load(current)
        self._check(errors.loss, "validation")
        means = _means(self._state, self._settings)
        return Epoch(self._state.epoch, learning_rate, means, errors, seconds, processor(self._device))

    def _check(self, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            raise TrainingError(f"epoch {self._state.epoch}, {where}: the loss is {loss}; lower learning_rate")

    def _load(self, values: Sequence[torch.Tensor]) -> None:
        _copy(values, self._parameters)

    def _save(self) -> None:
        content = {
            "identity": self._identity,
            "state": dataclasses.asdict(self._state),
            "parameters": [parameter.detach() for parameter in self._parameters],
            "average": self._average,
            "best": self._best,
            "optimiser": self._optimiser.state_dict(),
        }
        save_state(self._folder, content)

    def _restore(self) -> None:
        with saved_state(self._folder, identity=self._identity, device=self._device) as content:
            if content is None:
                return
            for name, values in (("parameters", self._parameters), ("average", self._average), ("best", self._best)):
                _copy(content[name], values)
            self._optimiser.load_state_dict(content["optimiser"])
            if (done := len(content["state"]["epochs"])) > self._settings.epochs:
                raise TrainingError(
                    f"{self._folder}: holds a training of {done} epochs, and {self._settings.epochs} are asked for; choose "
                    "another folder"
                )
            self._state = _State(**content["state"])
            for name in ("losses", "absolute", "counts"):
                setattr(self._state, name, getattr(self._state, name).cpu())
        logger.info("continuing at epoch %d, step %d", self._state.epoch, self._state.step)


def _copy(values: Sequence[torch.Tensor], targets: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for target, value in zip(targets, values, strict=True):
            target.copy_(value)


def _add(state: _State, errors: Any) -> None:
    state.losses += errors.losses.detach().cpu().double()
    state.absolute += errors.absolute.cpu().double()
    state.counts += errors.counts.cpu().double()


def _means(state: _State, settings: OptimisationSettings) -> FrameErrors:
    loss = float(weighted_loss(state.losses, state.counts, settings))
    energy, force, stress = (state.absolute / state.counts[:3]).tolist()
    return FrameErrors(loss, energy, force, stress)


def _epoch(content: dict[str, Any]) -> Epoch:
    errors = {part: FrameErrors(**content[part]) for part in ("training", "validation")}
    return Epoch(**(content | errors))


def _loss(epoch: Epoch) -> float:
    return epoch.validation.loss
