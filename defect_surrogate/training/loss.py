"""The loss: mean losses of energies per atom, force components and stress components, weighted 1, 1 and 0.1.

Weights and squared errors, the defaults, are those of Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9, Methods); a dozen
distorted starts and rattled cells with forces of 10 eV/Å make up most of squared errors.
Huber's (doi:10.1214/aoms/1177703732), that of M3GNet (doi:10.1038/s43588-022-00349-3), grows linearly with errors that are not
small.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matgl.apps.pes import Potential
from numpy.typing import NDArray
from torch.nn.functional import huber_loss

from defect_surrogate.training.graphs import FrameBatch, FrameGraph, batch_of
from defect_surrogate.training.settings import OptimisationSettings


@dataclass(frozen=True, eq=False)
class Errors:
    """Sums over a batch, from which means over many batches can be taken.

    Attributes
    ----------
    losses
        Sums of the losses of energies (eV per atom), force components (eV/Å), stress components (GPa) and relative energies (eV
        per atom), shape (4,).
    absolute
        Sums of the absolute errors of the first three, shape (3,).
    counts
        Number of terms in each sum, shape (4,). Of relative energies k frames of a defect have k − 1, as in a variance.
    """

    losses: torch.Tensor
    absolute: torch.Tensor
    counts: torch.Tensor


def batch_errors(potential: Potential, batch: FrameBatch, *, huber_delta: float | None) -> Errors:
    """Predict a batch and sum its errors.

    Parameters
    ----------
    potential
        In training mode for gradients with respect to its weights.
    batch
        Frames with labels; energies less the reference energies.
    huber_delta
        Error δ, in the unit of each quantity: an error e counts e²/2 up to δ, and δ(|e| − δ/2) beyond; e² when None.

    Returns
    -------
    Errors
        Differentiable in training mode. A missing stress label counts for nothing.
    """
    energies, forces, stresses = _interactions(potential, batch)
    energy_errors = (energies.reshape(-1) - batch.energies) / batch.atoms
    relative, terms = _relative(energy_errors, batch.groups)
    differences = (
        energy_errors,
        forces - batch.forces,
        (stresses - batch.stresses)[torch.isfinite(batch.stresses)],
    )
    return Errors(
        losses=torch.stack([_summed(difference, huber_delta) for difference in (*differences, relative)]),
        absolute=torch.stack([difference.detach().abs().sum() for difference in differences]),
        counts=torch.tensor([*(difference.numel() for difference in differences), terms], device=forces.device),
    )


def interaction_energies(
    potential: Potential, graphs: Sequence[FrameGraph], *, threebody_cutoff: float | None
) -> NDArray[np.float64]:
    """Return what a network says of frames without reference energies.

    Parameters
    ----------
    potential
        The model.
    graphs
        k frames.
    threebody_cutoff
        Radius of the three-body triples, Å; None if the network makes its own.

    Returns
    -------
    ndarray
        Shape (k,), eV.
    """
    potential.eval()
    device = potential.data_mean.device
    batches = (batch_of([graph], threebody_cutoff=threebody_cutoff, device=device) for graph in graphs)
    return np.array([float(_interactions(potential, batch)[0].detach()) for batch in batches])


def weighted_loss(losses: torch.Tensor, counts: torch.Tensor, settings: OptimisationSettings) -> torch.Tensor:
    """Return the loss from the sums of four losses and their counts, both of shape (4,); dimensionless by convention."""
    weights = torch.tensor(
        [settings.energy_weight, settings.force_weight, settings.stress_weight, settings.relative_energy_weight],
        dtype=losses.dtype,
        device=losses.device,
    )
    return (weights * losses / counts.clamp(min=1)).sum()


def _relative(errors: torch.Tensor, groups: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return the errors less their mean over each group, shape (b,), and how many of them are independent."""
    count = int(groups.max()) + 1
    sizes = torch.zeros(count, dtype=errors.dtype, device=errors.device).index_add(0, groups, torch.ones_like(errors))
    sums = torch.zeros(count, dtype=errors.dtype, device=errors.device).index_add(0, groups, errors)
    return errors - (sums / sizes)[groups], len(errors) - count


def _summed(difference: torch.Tensor, huber_delta: float | None) -> torch.Tensor:
    if huber_delta is None:
        return difference.square().sum()
    return huber_loss(difference, torch.zeros_like(difference), reduction="sum", delta=huber_delta)


def _interactions(potential: Potential, batch: FrameBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Energies, forces and stresses without reference energies, which labels carry in double precision and a network cannot."""
    references, potential.element_refs = potential.element_refs, None
    try:
        energies, forces, stresses, *_ = potential(batch.graph, batch.lattices, l_g=batch.triples)
    finally:
        potential.element_refs = references
        potential.model.feature_dict = {}  # would keep every activation alive
    return energies, forces, stresses
