"""Universal force fields, by name or from a checkpoint.

``chgnet`` is CHGNet 0.3.0 (doi:10.1038/s42256-023-00716-3) with the weights of its wheel, and needs no network. ``matgl:NAME``
is a model of the Hugging Face organisation *materialyze*, downloaded at first use; ``matgl:PATH`` or a bare path is a local
matgl checkpoint (doi:10.1038/s41524-025-01742-y).
"""

import hashlib
import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from chgnet.model import CHGNet, CHGNetCalculator
from pymatgen.core import Structure

from defect_surrogate.errors import PotentialError
from defect_surrogate.quietly import quietly
from defect_surrogate.relaxation import digest
from defect_surrogate.settings import SurrogateSettings
from defect_surrogate.surrogates.batch import CalculatorForceField, ForceField

logger = logging.getLogger(__name__)

CHGNET_MODELS = {"chgnet": "0.3.0", "chgnet-r2scan": "r2scan"}
"""Name in the registry → name of the weights in the chgnet wheel."""

CHGNET_LAST_ELEMENT = 94
"""CHGNet has an embedding for each element up to plutonium."""

MATGL_PREFIX = "matgl:"


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
    made_for
        Level of theory that the model was trained for, of its card; None for a model without one.
    calculator
        ASE calculator of energy (eV), forces (eV/Å) and, where it is asked for, stress (eV/Å³, positive under tension).
    force_field
        The same for many structures at once, without stress.
    """

    name: str
    digest: str
    level_of_theory: str
    elements: frozenset[str]
    versions: tuple[tuple[str, str], ...]
    made_for: str | None
    calculator: Calculator
    force_field: ForceField


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
    if name.startswith(MATGL_PREFIX) or (name and Path(name).exists()):
        return _load_matgl(name)
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


def check_structure(potential: Potential, structure: Structure) -> None:
    """Refuse a structure that a force field cannot relax.

    Parameters
    ----------
    potential
        The force field.
    structure
        What is to be relaxed.

    Raises
    ------
    PotentialError
        If it has no atoms, or elements that the force field does not know, which it names.
    """
    if not len(structure):
        raise PotentialError("a structure without atoms cannot be relaxed")
    check_coverage(potential, (site.specie.symbol for site in structure), host=structure.formula)


class _CHGNetWithStressOnDemand(CHGNetCalculator):
    """CHGNet without the stress and magnetic moments, which a relaxation in a fixed cell does not use, unless asked."""

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] | None = None
    ) -> None:
        """Compute energy (eV) and forces (eV/Å), and stress (eV/Å³) if it is among the properties."""
        task = "efs" if "stress" in (properties or ()) else "ef"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Converting a tensor with requires_grad", UserWarning)  # of the volumes
            super().calculate(atoms=atoms, properties=properties, system_changes=system_changes, task=task)


def check_made_for(potential: Potential, level_of_theory: str, *, host: str) -> None:
    """Refuse a model that was trained for another level of theory than the reference's.

    Parameters
    ----------
    potential
        The force field; one without a card, such as a universal one, is not refused.
    level_of_theory
        Of the reference, in words.
    host
        Name of the host, for the message.

    Raises
    ------
    PotentialError
        Naming the host, the model and both levels.
    """
    if potential.made_for not in (None, level_of_theory):
        raise PotentialError(
            f"{host}: the surrogate {potential.name} was made for {potential.made_for}, and the reference level is "
            f"{level_of_theory}; surrogate.other_level_of_theory: true accepts it"
        )


def surrogate_method(potential: Potential, settings: SurrogateSettings) -> str:
    """Digest of all that decides the result of a surrogate relaxation besides the starting structure.

    Parameters
    ----------
    potential
        The force field, which enters by the digest of its weights.
    settings
        Its convergence.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    merging = {"merge_basins": True} if settings.merge_basins else {}
    return digest(
        merging
        | {
            "potential": potential.digest,
            "optimiser": settings.optimiser,
            "force_criterion": settings.force_criterion,
            "force_tolerance": settings.force_tolerance,
            "max_steps": settings.max_steps,
        }
    )


def weights_digest(model: torch.nn.Module) -> str:
    """Return the SHA-256 of a model's weights, by which it is known; 64 hexadecimal digits."""
    hasher = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        hasher.update(key.encode())
        hasher.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return hasher.hexdigest()


def _load_chgnet(name: str) -> Potential:
    weights = CHGNET_MODELS[name]
    with quietly():
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = CHGNet.load(model_name=weights, use_device=device, verbose=False)
        calculator = _CHGNetWithStressOnDemand(model, use_device=device, on_isolated_atoms="ignore")
    return Potential(
        name=name,
        digest=weights_digest(model),
        level_of_theory=f"CHGNet {weights}",
        elements=frozenset(chemical_symbols[1 : CHGNET_LAST_ELEMENT + 1]),
        versions=(("chgnet", version("chgnet")), ("torch", version("torch"))),
        made_for=None,
        calculator=calculator,
        force_field=CalculatorForceField(calculator),
    )


def _load_matgl(name: str) -> Potential:
    # matgl takes seconds to import, and a search with another force field never needs it.
    from defect_surrogate.surrogates.matgl_checkpoints import force_field, load_checkpoint  # noqa: PLC0415

    return force_field(load_checkpoint(name), name=name)
