"""Fine-tuning: a network, new or from a base model, with reference energies, fitted to frames.

The recipe is that of Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9), Methods and Supplementary Notes 1.B: every choice
it compares is a setting.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matgl.apps.pes import Potential
from numpy.typing import NDArray

from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.errors import DatasetError
from defect_surrogate.relaxation import digest
from defect_surrogate.surrogates.matgl_checkpoints import Checkpoint
from defect_surrogate.surrogates.potentials import weights_digest
from defect_surrogate.training import reference_energies as references
from defect_surrogate.training.basis_layers import basis_scales, scale_weights
from defect_surrogate.training.data import TrainingData
from defect_surrogate.training.epochs import Epoch, Training
from defect_surrogate.training.graphs import FrameGraph, frame_graphs
from defect_surrogate.training.loss import interaction_energies
from defect_surrogate.training.models import (
    base_model,
    freeze,
    new_model,
    reference_energies,
    set_reference_energies,
    threebody_cutoff,
)
from defect_surrogate.training.settings import TrainSettings
from defect_surrogate.training.trainer import train

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A trained network.

    Attributes
    ----------
    potential
        matgl's, with the weights of the best epoch.
    training
        Errors of all epochs.
    references_from
        Where its reference energies are from, in words.
    base_digest
        Digest of the model it started from; None for random weights.
    """

    potential: Potential
    training: Training
    references_from: str
    base_digest: str | None


@dataclass(frozen=True, eq=False)
class _Start:
    potential: Potential
    references_from: str
    base_digest: str | None


def finetune(
    data: TrainingData,
    settings: TrainSettings,
    *,
    member: int,
    folder: Path,
    on_step: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> FineTuned:
    """Train one member of an ensemble, or go on where an earlier call was killed.

    Parameters
    ----------
    data
        Frames.
    settings
        Network, base, reference energies, loss and optimiser.
    member
        Counted from 1; added to the seed.
    folder
        Where the state of the training is kept.
    on_step, on_epoch
        See ``train``.

    Returns
    -------
    FineTuned
        The member.

    Raises
    ------
    InputError
        If the base cannot be used, a frame has an element that the base does not know, or the training cannot go on.
    ArchiveError
        If its state cannot be saved.
    """
    optimisation = settings.optimisation.model_copy(update={"seed": settings.optimisation.seed + member - 1})
    start = _start(data, settings, seed=optimisation.seed)
    potential = start.potential.to(best_device())
    freeze(potential, settings.trainable)
    elements, energies = list(potential.model.element_types), reference_energies(potential)

    def graphs(dataset: Dataset) -> list[FrameGraph]:
        return frame_graphs(
            dataset.frames,
            elements=elements,
            cutoff=float(potential.model.cutoff),
            reference_energies=energies,
        )

    train_graphs = graphs(data.train)
    scales = basis_scales(potential, train_graphs)
    if settings.base is None:
        scale_weights(potential, scales)
    training = train(
        potential,
        train_graphs,
        graphs(data.validation),
        settings=optimisation,
        folder=folder,
        identity=identity(data, settings, member=member, start=weights_digest(potential), scales=scales),
        scales=scales,
        on_step=on_step,
        on_epoch=on_epoch,
    )
    return FineTuned(potential.cpu(), training, start.references_from, start.base_digest)


def identity(
    data: TrainingData, settings: TrainSettings, *, member: int, start: str, scales: Mapping[str, float]
) -> str:
    """Return the digest of all that decides how a training goes.

    Parameters
    ----------
    data
        Frames.
    settings
        Its network, layers and optimisation enter.
    member
        Of the ensemble.
    start
        Digest of the weights before the first step.
    scales
        Factors on the learning rates of some weights, by name.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return digest(
        {
            "train": data.train.digest,
            "validation": data.validation.digest,
            "architecture": settings.architecture.model_dump(),
            "optimisation": settings.optimisation.model_dump(exclude={"epochs", "patience"}),
            "trainable": settings.trainable,
            "member": member,
            "start": start,
            "scales": dict(scales),
        }
    )


def best_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _start(data: TrainingData, settings: TrainSettings, *, seed: int) -> _Start:
    base = None if settings.base is None else base_model(settings.base)
    method = settings.reference_energies
    if method is None:
        method = "base" if base is not None and base.level_of_theory == data.level_of_theory else "bulk"
    if base is None:
        if method == "base":
            raise DatasetError("reference_energies: base: there is no base model")
        elements = data.train.elements
        energies = _energies(method, data.train, settings, elements=elements, base=None)
        potential = new_model(settings.architecture, elements=elements, reference_energies=energies, seed=seed)
        return _Start(potential, _WORDS[method], None)
    before = weights_digest(base.model)
    if method == "base":
        return _Start(base.model, _WORDS[method], before)
    energies = _energies(method, data.train, settings, elements=base.model.model.element_types, base=base)
    set_reference_energies(base.model, energies)
    return _Start(base.model, _WORDS[method], before)


_WORDS = {
    "base": "those of the base model",
    "bulk": "fitted to the bulk frames of the training compositions",
    "defects": "fitted to the defect frames of training",
    "isolated atoms": "isolated atoms at the reference level",
}


def _energies(
    method: str, dataset: Dataset, settings: TrainSettings, *, elements: Sequence[str], base: Checkpoint | None
) -> NDArray[np.float64]:
    start = None if base is None else reference_energies(base.model)
    if method == "isolated atoms" or settings.isolated_atoms:
        given = settings.isolated_atoms or {}
        if start is not None:  # elements of the base that no frame has keep theirs
            given = {s: e for s, e in zip(elements, start.tolist(), strict=True) if s not in dataset.elements} | given
        start = references.isolated(given, elements=elements)
    if method == "isolated atoms" and start is not None:
        return start
    frames = [frame for frame in dataset.frames if frame.is_bulk == (method == "bulk")]
    interactions = None if base is None else _interactions(base.model, frames)
    return references.fitted(frames, elements=elements, interactions=interactions, start=start)


def _interactions(potential: Potential, frames: Sequence[LabelledFrame]) -> NDArray[np.float64]:
    elements = list(potential.model.element_types)
    graphs = frame_graphs(
        frames, elements=elements, cutoff=float(potential.model.cutoff), reference_energies=np.zeros(len(elements))
    )
    return interaction_energies(potential, graphs, threebody_cutoff=threebody_cutoff(potential))
