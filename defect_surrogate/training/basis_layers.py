"""The layers of an M3GNet that read distances and angles, brought to the scale of the others.

What these layers are given is of fixed functions, and small: with matgl's M3GNet (doi:10.1038/s43588-022-00349-3) about 0.1 for
the radial ones and 0.002 for those of three bodies, products of two cutoff functions and two radial ones, where other layers
are given numbers of about 1. With the initial weights of the others and one learning rate, a network hardly feels distances at
first, and angles not for thousands of steps. Here the weights of these layers are multiplied by one over the size of what they
are given, and their learning rates too, as if the functions were scaled to 1. Network and checkpoint stay matgl's.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from matgl.apps.pes import Potential
from matgl.models import M3GNet
from torch import nn

from defect_surrogate.training.graphs import FrameGraph
from defect_surrogate.training.loss import interaction_energies
from defect_surrogate.training.models import threebody_cutoff

FRAMES = 8
"""Frames that sizes are measured on; each has some thousand edges."""


LARGEST = 128.0
"""Largest factor. Inputs of three bodies are small in most frames and large in some, with two atoms close to each other."""


def basis_scales(potential: Potential, graphs: Sequence[FrameGraph]) -> dict[str, float]:
    """Measure by how much the inputs of the layers that read distances and angles are too small.

    Parameters
    ----------
    potential
        Any; only M3GNet has such layers.
    graphs
        Frames to train on, of which a few are evaluated.

    Returns
    -------
    dict of str to float
        For each such layer, by the name of its weight in ``potential``, one over the root mean square of its inputs, rounded to
        a power of two, so that it does not depend on the last digits, at most ``LARGEST``; without layers whose inputs vanish.
    """
    squares: dict[str, list[torch.Tensor]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        return lambda _, inputs: squares.setdefault(name, []).append(inputs[0].detach().square().flatten())

    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in _layers(potential)]
    try:
        for graph in graphs[:: -(-len(graphs) // FRAMES)] if hooks else ():
            potential.eval()
            interaction_energies(potential, [graph], threebody_cutoff=threebody_cutoff(potential))
    finally:
        for hook in hooks:
            hook.remove()
    sizes = {name: float(torch.cat(parts).mean().sqrt()) for name, parts in squares.items()}
    return {name: min(LARGEST, 2.0 ** round(-math.log2(size))) for name, size in sizes.items() if size > 0}


def scale_weights(potential: Potential, scales: Mapping[str, float]) -> None:
    """Multiply the random weights of layers by their scales.

    Parameters
    ----------
    potential
        Changed in place; new, since trained weights have their scale.
    scales
        Factors by name of the weight, from ``basis_scales``.
    """
    weights = dict(potential.named_parameters())
    with torch.no_grad():
        for name, scale in scales.items():
            weights[name].mul_(scale)


def parameter_groups(potential: Potential, scales: Mapping[str, float]) -> list[dict[str, Any]]:
    """Put trained weights together by the scales of their learning rates.

    Parameters
    ----------
    potential
        Those of its weights that require a gradient are in one group each.
    scales
        Factors by name of the weight; 1 for the others.

    Returns
    -------
    list of dict
        For an optimiser of torch: ``params``, and ``scale``, the factor on the learning rate.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in potential.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(scales.get(name, 1.0), []).append(parameter)
    return [{"params": parameters, "scale": scale} for scale, parameters in groups.items()]


def _layers(potential: Potential) -> Iterator[tuple[str, nn.Linear]]:
    """Yield the layers that are given basis functions alone, and the names of their weights."""
    if not isinstance(potential.model, M3GNet):
        return
    for name, layer in potential.named_modules():
        if isinstance(layer, nn.Linear) and _READS_A_BASIS.fullmatch(name):
            yield f"{name}.weight", layer


_READS_A_BASIS = re.compile(
    r"model\.(embedding\.layer_edge_embedding\.layers\.0"
    r"|graph_layers\.\d+\.conv\.(edge|node)_weight_func"
    r"|three_body_interactions\.\d+\.update_network_bond\.(layers|gates)\.0)"
)
