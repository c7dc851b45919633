"""Models of matgl as force fields for batches: M3GNet by hand, other networks through torch's gradients.

A module of its own, because matgl takes seconds to import.
"""

import torch
from ase.data import atomic_numbers
from matgl.apps.pes import Potential as MatglPotential
from torch import Tensor
from torch_geometric.data import Batch as GraphBatch
from torch_geometric.data import Data

from defect_surrogate.surrogates.batch import Batch
from defect_surrogate.surrogates.m3gnet import HandDifferentiatedM3GNet, is_supported
from defect_surrogate.surrogates.neighbours import Edges, NeighbourLists


def is_batched(potential: MatglPotential) -> bool:
    """Whether a model can be evaluated here: its energy is the network's alone, and depends on the structure alone."""
    state = getattr(potential.model, "include_state", False)
    return not (state or potential.calc_repuls or potential.calc_charge)


class MatglForceField:
    """A model of matgl, which knows its structures' neighbours from one call to the next.

    M3GNet has distances from double-precision positions; matgl's other networks get positions in single precision, as its
    calculator gives them.

    Parameters
    ----------
    potential
        One that ``is_batched``; its parameters must not require gradients.
    """

    def __init__(self, potential: MatglPotential) -> None:
        self._potential = potential
        self._m3gnet = HandDifferentiatedM3GNet(potential) if is_supported(potential) else None
        self._neighbours = NeighbourLists(float(potential.model.cutoff), self.device)
        self._types = torch.full((max(atomic_numbers.values()) + 1,), -1, device=self.device)
        for place, symbol in enumerate(potential.model.element_types):
            self._types[atomic_numbers[symbol]] = place

    @property
    def device(self) -> torch.device:
        """That of the weights."""
        device: torch.device = self._potential.data_mean.device
        return device

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Evaluate structures; see ``ForceField``."""
        types = self._types[batch.numbers]
        edges = self._neighbours.edges(batch)
        if self._m3gnet is not None:
            return self._m3gnet(types, batch.owners, len(batch.names), edges)
        return self._by_matgl(types, batch, edges)

    def _by_matgl(self, types: Tensor, batch: Batch, edges: Edges) -> tuple[Tensor, Tensor]:
        potential, centres, neighbours = self._potential, edges.centres, edges.neighbours
        cells = batch.cells.index_select(0, batch.owners)
        fractional = (batch.positions[:, None] @ torch.linalg.inv(batch.cells).index_select(0, batch.owners)).squeeze(1)
        shifts = edges.vectors - batch.positions[neighbours] + batch.positions[centres]
        images = torch.linalg.solve(cells[centres].mT, shifts).round()
        graph = GraphBatch(_base_cls=Data)
        graph.edge_index = torch.stack([centres, neighbours])
        graph.node_type, graph.batch = types, batch.owners
        graph.frac_coords, graph.pbc_offset = fractional.float(), images.float()
        graph.pbc_offshift, graph.lattice = shifts.float(), cells[centres].float()
        graph.num_nodes, graph._num_graphs = len(types), len(batch.names)
        with torch.enable_grad():
            graph.pos = batch.positions.float().requires_grad_()
            interaction = potential.model(g=graph).reshape(-1)
            (slopes,) = torch.autograd.grad(interaction.sum(), graph.pos)
        potential.model.feature_dict = {}
        energies = interaction.detach().double() * float(potential.data_std) + float(potential.data_mean)
        if potential.element_refs is not None:
            energies.index_add_(0, batch.owners, potential.element_refs.property_offset.double()[types])
        return energies, slopes.double() * -float(potential.data_std)
