"""Checkpoints of matgl (doi:10.1038/s41524-025-01742-y): found, checked and loaded without running what they bring.

Weights are read with torch's restricted unpickler, and a checkpoint may name no class but matgl's. One that is older than the
convention of the installed matgl is refused: it would load silently and compute wrong forces.
"""

import importlib
import json
import logging
import pickle
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matgl
import torch
from matgl.apps.pes import Potential as MatglPotential

from defect_surrogate.errors import PotentialError
from defect_surrogate.quietly import quietly
from defect_surrogate.surrogates.batch import CalculatorForceField
from defect_surrogate.surrogates.card import ModelCard, read_card
from defect_surrogate.surrogates.light_messages import lighten
from defect_surrogate.surrogates.matgl_calculator import MatglWithStressOnDemand
from defect_surrogate.surrogates.matgl_force_field import MatglForceField, is_batched
from defect_surrogate.surrogates.potentials import MATGL_PREFIX, Potential, weights_digest

logger = logging.getLogger(__name__)

MATGL_HUB = "materialyze"
WEIGHTS = ("model.pt", "state.pt")
MATGL_FILES = (*WEIGHTS, "model.json")

DAMAGE = (
    *(OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)
"""What reading a file that torch did not write, or that is not whole, can raise."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model as loaded.

    Attributes
    ----------
    model
        matgl's potential.
    level_of_theory
        That it was trained for, in words, as saved with it; else architecture and name of the directory.
    made_for
        The level of theory of the card, or else that saved with it; None if neither says.
    card
        None for a checkpoint that was not made here.
    """

    model: MatglPotential
    level_of_theory: str
    made_for: str | None
    card: ModelCard | None


def load_checkpoint(name: str) -> Checkpoint:
    """Load a checkpoint.

    Parameters
    ----------
    name
        ``matgl:NAME`` from the hub, ``matgl:PATH``, or the path of a checkpoint directory.

    Returns
    -------
    Checkpoint
        On the best device there is.

    Raises
    ------
    PotentialError
        If it is missing, damaged, not what its card says, no force field of matgl, holds code, or is of an older convention.
    """
    target = name.removeprefix(MATGL_PREFIX)
    directory = Path(target) if Path(target).exists() else _download(target)
    card = read_card(directory)
    description = _checked_description(name, directory)
    try:
        with quietly():
            for file in WEIGHTS:
                check_whole(directory / file)
            # the classes that matgl makes are those named here, whatever model.json says
            _check_convention(name, torch.load(directory / "model.pt", map_location="cpu", weights_only=True))
            model = matgl.load_model(directory)
    except DAMAGE as error:
        cause = error.__cause__ or error
        if not isinstance(cause, Exception) or isinstance(cause, MemoryError):  # matgl wraps an interrupt, too
            raise cause from None
        if isinstance(cause, pickle.UnpicklingError):
            cause = PotentialError("a file of weights is damaged, or holds code, which was not run")
        raise PotentialError(f"{name}: the checkpoint {directory} cannot be loaded: {cause}") from error
    if not isinstance(model, MatglPotential):
        raise PotentialError(f"{name}: {directory} holds a {type(model).__name__}, which gives no forces")
    lighten(model.model)
    if card is not None and card.digest != weights_digest(model):
        raise PotentialError(f"{name}: the weights in {directory} are not those that its card was written for")
    metadata = description.get("metadata")
    saved = str(metadata.get("level_of_theory") or "") or None if isinstance(metadata, dict) else None
    made_for = saved if card is None else card.level_of_theory
    return Checkpoint(model, saved or f"{type(model.model).__name__} {directory.name}", made_for, card)


def check_whole(path: Path) -> None:
    """Hold a file that torch wrote against the checksums in it, which torch takes no notice of.

    Parameters
    ----------
    path
        The file; one in torch's format before 1.6 has no checksums, and passes.

    Raises
    ------
    ValueError
        Naming the part that is damaged.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{path.name}: {damaged} is damaged")


def force_field(checkpoint: Checkpoint, *, name: str) -> Potential:
    """Make a force field of a model.

    Parameters
    ----------
    checkpoint
        The model, whose gradients with respect to the weights are switched off, and its card; moved to a GPU if there is one.
    name
        Name or path for messages.

    Returns
    -------
    Potential
        Of the elements it was trained on, or without a card of all that the network has a place for.
    """
    model, card = checkpoint.model, checkpoint.card
    model.requires_grad_(False)
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    level_of_theory, elements = checkpoint.level_of_theory, model.model.element_types
    if card is not None:
        level_of_theory = f"{card.architecture} {card.digest[:8]} trained for {card.level_of_theory}"
        elements = card.elements
    calculator = MatglWithStressOnDemand(model, stress_unit="eV/A3")
    return Potential(
        name=name,
        digest=weights_digest(model),
        level_of_theory=level_of_theory,
        elements=frozenset(elements),
        versions=(("matgl", version("matgl")), ("torch", version("torch"))),
        made_for=checkpoint.made_for,
        calculator=calculator,
        force_field=MatglForceField(model) if is_batched(model) else CalculatorForceField(calculator),
    )


def _checked_description(name: str, directory: Path) -> dict[str, Any]:
    absent = [file for file in MATGL_FILES if not (directory / file).is_file()]
    if absent:
        raise PotentialError(f"{name}: {directory} is no matgl checkpoint: {', '.join(absent)} missing")
    try:
        description = json.loads((directory / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PotentialError(f"{name}: {directory / 'model.json'} cannot be read: {error}") from error
    if not isinstance(description, dict):
        raise PotentialError(f"{name}: {directory / 'model.json'} holds a {type(description).__name__}, no description")
    _check_convention(name, description)
    return description


def _check_convention(name: str, description: Any) -> None:
    """Walk the classes a checkpoint is made of; refuse strangers and those older than the installed ones."""
    if isinstance(description, list):
        for item in description:
            _check_convention(name, item)
    if not isinstance(description, dict):
        return
    if "@class" in description:
        module, class_name = str(description.get("@module")), str(description["@class"])
        if not module.startswith("matgl."):
            raise PotentialError(f"{name}: the checkpoint names the class {module}.{class_name}, which is not of matgl")
        public = ".".join(part for part in module.split(".") if not part.startswith("_"))
        public = "matgl.apps.pes" if public == "matgl.apps" else public
        try:
            found = getattr(importlib.import_module(public), class_name)
        except (ImportError, AttributeError) as error:
            raise PotentialError(f"{name}: the installed matgl has no {module}.{class_name}") from error
        if not (
            isinstance(found, type) and issubclass(found, torch.nn.Module) and found.__module__.startswith("matgl.")
        ):
            raise PotentialError(f"{name}: the checkpoint names {module}.{class_name}, which is no network of matgl")
        installed = getattr(found, "__version__", 0)
        convention = description.get("@model_version", 0)
        if not isinstance(convention, int) or convention < installed:
            raise PotentialError(
                f"{name}: the checkpoint's {class_name} is of convention {convention!r}, the installed "
                f"matgl {version('matgl')} computes convention {installed}: its forces would be wrong; get a newer checkpoint"
            )
    for value in description.values():
        _check_convention(name, value)


def _download(model: str) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415

    repository = model if "/" in model else f"{MATGL_HUB}/{model}"
    logger.info("downloading %s from the Hugging Face hub, unless it is in the cache", repository)
    try:
        return Path(snapshot_download(repository, allow_patterns=list(MATGL_FILES)))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise PotentialError(
            f"matgl:{model}: not a local directory, and not fetched from the hub as {repository}: {type(error).__name__}"
        ) from error
