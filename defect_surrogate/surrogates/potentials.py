"""Universal force fields, by name or from a checkpoint.

``chgnet`` is CHGNet 0.3.0 (doi:10.1038/s42256-023-00716-3) with the weights of its wheel, and needs no network. ``matgl:NAME``
is a model of the Hugging Face organisation *materialyze*, downloaded at first use; ``matgl:PATH`` or a bare path is a local
matgl checkpoint (doi:10.1038/s41524-025-01742-y).
"""

import contextlib
import hashlib
import importlib
import io
import json
import logging
import pickle
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from chgnet.model import CHGNet, CHGNetCalculator

from defect_surrogate.errors import PotentialError

logger = logging.getLogger(__name__)

CHGNET_MODELS = {"chgnet": "0.3.0", "chgnet-r2scan": "r2scan"}
"""Name in the registry → name of the weights in the chgnet wheel."""

CHGNET_LAST_ELEMENT = 94
"""CHGNet has an embedding for each element up to plutonium."""

MATGL_PREFIX = "matgl:"
MATGL_HUB = "materialyze"
MATGL_FILES = ("model.pt", "state.pt", "model.json")


@dataclass(frozen=True)
class Potential:
    """A force field that is loaded and ready.

    Attributes
    ----------
    name
        Name or path it was asked for by.
    digest
        SHA-256 of its weights, 64 hexadecimal digits.
    level_of_theory
        In words, for reports.
    elements
        Symbols of the elements it knows.
    versions
        Pairs of library name and version.
    calculator
        ASE calculator of energy (eV) and forces (eV/Å).
    """

    name: str
    digest: str
    level_of_theory: str
    elements: frozenset[str]
    versions: tuple[tuple[str, str], ...]
    calculator: Calculator


def known_potentials() -> tuple[str, ...]:
    """Return the names that need no download and no path."""
    return tuple(CHGNET_MODELS)


def load_potential(name: str) -> Potential:
    """Load a force field on the best device there is.

    Parameters
    ----------
    name
        A name of ``known_potentials``, ``matgl:NAME``, ``matgl:PATH``, or the path of a matgl checkpoint directory.

    Returns
    -------
    Potential
        Ready to use.

    Raises
    ------
    PotentialError
        If the name is unknown, the checkpoint is missing, damaged or not one of matgl's, or its convention is older than that
        of the installed matgl, which would load it silently and compute wrong forces.
    """
    if name in CHGNET_MODELS:
        return _load_chgnet(name)
    if name.startswith(MATGL_PREFIX):
        target = name.removeprefix(MATGL_PREFIX)
        directory = Path(target) if Path(target).exists() else _download(target)
        return _load_matgl(name, directory)
    if name and Path(name).exists():
        return _load_matgl(name, Path(name))
    raise PotentialError(
        f"{name!r} is no force field: known are {', '.join(CHGNET_MODELS)}, matgl:NAME from the hub, or the path of a "
        "matgl checkpoint directory"
    )


def check_coverage(potential: Potential, elements: Iterable[str], *, host: str) -> None:
    """Refuse a host with an element that the force field does not know.

    Parameters
    ----------
    potential
        The force field.
    elements
        Symbols of the host's elements.
    host
        Name of the host, for the message.

    Raises
    ------
    PotentialError
        Naming the host, the elements and the force field.
    """
    unknown = sorted(set(elements) - potential.elements)
    if unknown:
        raise PotentialError(f"{host}: the surrogate {potential.name} does not know {', '.join(unknown)}")


class _EnergyAndForces(CHGNetCalculator):
    """CHGNet without the stress and magnetic moments, which a relaxation in a fixed cell does not use."""

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] | None = None
    ) -> None:
        """Compute energy (eV) and forces (eV/Å)."""
        super().calculate(atoms=atoms, properties=properties, system_changes=system_changes, task="ef")


def _load_chgnet(name: str) -> Potential:
    weights = CHGNET_MODELS[name]
    with contextlib.redirect_stdout(io.StringIO()):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = CHGNet.load(model_name=weights, use_device=device, verbose=False)
        calculator = _EnergyAndForces(model, use_device=device, on_isolated_atoms="ignore")
    return Potential(
        name=name,
        digest=_weights_digest(model),
        level_of_theory=f"CHGNet {weights}",
        elements=frozenset(chemical_symbols[1 : CHGNET_LAST_ELEMENT + 1]),
        versions=(("chgnet", version("chgnet")), ("torch", version("torch"))),
        calculator=calculator,
    )


def _load_matgl(name: str, directory: Path) -> Potential:
    # matgl takes seconds to import, and a search with another force field never needs it.
    import matgl  # noqa: PLC0415
    from matgl.apps.pes import Potential as MatglPotential  # noqa: PLC0415
    from matgl.ext.ase import PESCalculator  # noqa: PLC0415

    description = _checked_description(name, directory)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            model = matgl.load_model(directory)
    except (RuntimeError, ValueError, OSError, pickle.UnpicklingError) as error:
        cause = error.__cause__ or error
        raise PotentialError(f"{name}: the checkpoint {directory} cannot be loaded: {cause}") from error
    if not isinstance(model, MatglPotential):
        raise PotentialError(f"{name}: {directory} holds a {type(model).__name__}, which gives no forces")
    model.calc_stresses = False
    model.requires_grad_(False)
    model.eval()
    architecture = type(model.model).__name__
    return Potential(
        name=name,
        digest=_weights_digest(model),
        level_of_theory=str(
            (description.get("metadata") or {}).get("level_of_theory") or f"{architecture} {directory.name}"
        ),
        elements=frozenset(model.model.element_types),
        versions=(("matgl", version("matgl")), ("torch", version("torch"))),
        calculator=PESCalculator(model, stress_unit="eV/A3"),
    )


def _checked_description(name: str, directory: Path) -> dict[str, Any]:
    absent = [file for file in MATGL_FILES if not (directory / file).is_file()]
    if absent:
        raise PotentialError(f"{name}: {directory} is no matgl checkpoint: {', '.join(absent)} missing")
    try:
        description = json.loads((directory / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PotentialError(f"{name}: {directory / 'model.json'} cannot be read: {error}") from error
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
            installed = getattr(getattr(importlib.import_module(public), class_name), "__version__", 0)
        except (ImportError, AttributeError) as error:
            raise PotentialError(f"{name}: the installed matgl has no {module}.{class_name}") from error
        if description.get("@model_version", 0) < installed:
            raise PotentialError(
                f"{name}: the checkpoint's {class_name} is of convention {description.get('@model_version', 0)}, the installed "
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


def _weights_digest(model: torch.nn.Module) -> str:
    hasher = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        hasher.update(key.encode())
        hasher.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return hasher.hexdigest()
