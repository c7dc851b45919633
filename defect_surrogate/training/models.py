"""Networks by name, and base models to start from.

matgl wraps a network that gives the energy of a graph in a ``Potential``, which adds the reference energies of the atoms and
derives forces and stress (doi:10.1038/s41524-025-01742-y).
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matgl.apps.pes import Potential
from matgl.models import CHGNet, M3GNet, SO3Net, TensorNet
from numpy.typing import NDArray

from defect_surrogate.errors import PotentialError
from defect_surrogate.surrogates.light_messages import lighten
from defect_surrogate.surrogates.matgl_checkpoints import Checkpoint, load_checkpoint
from defect_surrogate.training.settings import ArchitectureSettings

TRIPLES_READY_MADE = (M3GNet,)
"""Networks that take their three-body triples with the batch."""

MESSAGE_PASSING = ("three_body_interactions", "graph_layers", "atom_graph_layers", "layers", "so3convs")
"""Names under which matgl's networks keep their message-passing blocks."""


def new_model(
    settings: ArchitectureSettings, *, elements: Sequence[str], reference_energies: NDArray[np.float64], seed: int
) -> Potential:
    """Make a network with random weights.

    Parameters
    ----------
    settings
        Architecture.
    elements
        Symbols of the elements it is to know.
    reference_energies
        Energy of an atom of each element, in the order of ``elements``, eV.
    seed
        Of the weights.

    Returns
    -------
    Potential
        matgl's, with forces and stress.
    """
    seed_everything(seed)
    common = {"element_types": tuple(elements), "is_intensive": False, "cutoff": settings.cutoff}
    units = settings.units
    if settings.name == "M3GNet":
        network = M3GNet(
            **common,
            threebody_cutoff=settings.threebody_cutoff,
            units=units,
            dim_node_embedding=units,
            dim_edge_embedding=units,
            nblocks=settings.blocks,
            use_smooth=settings.smooth,
        )
    elif settings.name == "TensorNet":
        network = TensorNet(**common, units=units, nblocks=settings.blocks)
    elif settings.name == "CHGNet":
        network = CHGNet(
            **common,
            threebody_cutoff=settings.threebody_cutoff,
            dim_atom_embedding=units,
            dim_bond_embedding=units,
            dim_angle_embedding=units,
            num_blocks=settings.blocks,
        )
    else:
        network = SO3Net(**common, dim_node_embedding=units, units=units, nblocks=settings.blocks)
    lighten(network)
    return Potential(network, element_refs=np.asarray(reference_energies))


def base_model(name: str) -> Checkpoint:
    """Load a checkpoint to start from.

    Parameters
    ----------
    name
        ``matgl:NAME``, or the path of a checkpoint directory.

    Returns
    -------
    Checkpoint
        Its model with forces and stress, its reference energies as they were.

    Raises
    ------
    PotentialError
        If there is no such checkpoint, it is damaged, holds code, or is of an older convention.
    """
    checkpoint = load_checkpoint(name)
    if checkpoint.model.element_refs is None:
        raise PotentialError(f"{name}: has no reference energies and cannot be a base")
    checkpoint.model.calc_stresses = True
    return checkpoint


def freeze(potential: Potential, trainable: str) -> None:
    """Let only some layers learn.

    Parameters
    ----------
    potential
        Changed in place.
    trainable
        ``all``; ``last layer``, the readout; or ``last two layers``, the readout and the last message-passing block, as in
        Supplementary Table 9 of doi:10.1038/s41524-024-01303-9.

    Raises
    ------
    PotentialError
        If the network has no message-passing blocks of a known name.
    """
    potential.requires_grad_(trainable == "all")
    if trainable == "all":
        return
    network = potential.model
    parts = [network.final_layer]
    if trainable == "last two layers":
        blocks = [getattr(network, name)[-1] for name in MESSAGE_PASSING if hasattr(network, name)]
        if not blocks:
            raise PotentialError(f"{type(network).__name__}: cannot train its {trainable} alone; use trainable: all")
        parts += blocks
    for part in parts:
        part.requires_grad_(True)


def reference_energies(potential: Potential) -> NDArray[np.float64]:
    """Return the energy of an atom of each element that a model adds, in the order of its elements, eV."""
    values: NDArray[np.float64] = potential.element_refs.property_offset.detach().cpu().numpy().astype(np.float64)
    return values


def set_reference_energies(potential: Potential, energies: NDArray[np.float64]) -> None:
    """Give a model other reference energies (eV, in the order of its elements); all else of it stays."""
    potential.element_refs.property_offset.copy_(torch.as_tensor(energies))
    potential._init_args["element_refs"] = energies.tolist()


def threebody_cutoff(potential: Potential) -> float | None:
    """Return the radius of the triples to be made with a batch, Å; None if the network makes its own."""
    network = potential.model
    return float(network.threebody_cutoff) if isinstance(network, TRIPLES_READY_MADE) else None


def save_model(potential: Potential, directory: Path, *, level_of_theory: str) -> None:
    """Write a model as matgl does, and its level of theory with it.

    Parameters
    ----------
    potential
        Saved for inference, with all its layers.
    directory
        Made when missing.
    level_of_theory
        In words.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    potential.save(directory, metadata={"level_of_theory": level_of_theory})
    description = json.loads((directory / "model.json").read_text(encoding="utf-8"))
    (directory / "model.json").write_text(json.dumps(description, indent=1, sort_keys=True), encoding="utf-8")


def processor(device: torch.device) -> str:
    """Name a device and the version of torch, e.g. ``NVIDIA H200, torch 2.11.0``."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return f"{name}, torch {torch.__version__}"


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (matgl draws from it)
    torch.manual_seed(seed)
