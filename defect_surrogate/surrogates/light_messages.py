"""M3GNet's messages with fewer multiplications, and the same values.

A message of matgl's M3GNet begins with a layer on (v_i, v_j, e_ij), evaluated for each edge (doi:10.1038/s43588-022-00349-3,
equations 4 and 5). The layer is linear, so its parts on v_i and v_j can be evaluated once for each atom, which has some twenty
edges; value and gate are evaluated together. Parameters and checkpoints stay as they are.
"""

import torch
from matgl.layers import GatedMLP
from matgl.layers._graph_convolution import M3GNetGraphConv
from matgl.models import M3GNet
from matgl.utils.maths import scatter_add
from torch.nn.functional import linear


def lighten(network: torch.nn.Module) -> None:
    """Make an M3GNet evaluate its messages with fewer multiplications.

    Parameters
    ----------
    network
        Changed in place, its parameters untouched. Other networks, and those with a state or other activations, stay as they
        are.
    """
    if not isinstance(network, M3GNet):
        return
    for block in network.graph_layers:
        functions = (block.conv.edge_update_func, block.conv.node_update_func)
        if not block.conv.include_state and all(_is_as_expected(function) for function in functions):
            block.conv.__class__ = _LightConvolution


class _LightConvolution(M3GNetGraphConv):
    def edge_update_(
        self,
        edge_index: torch.Tensor,
        edge_feat: torch.Tensor,
        node_feat: torch.Tensor,
        rbf: torch.Tensor,
        u_per_edge: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return what is added to the features of each edge, shape (e, units); arguments are matgl's."""
        return _gated(self.edge_update_func, edge_index, edge_feat, node_feat) * self.edge_weight_func(rbf)

    def node_update_(  # noqa: PLR0917  (matgl's signature)
        self,
        edge_index: torch.Tensor,
        edge_feat: torch.Tensor,
        node_feat: torch.Tensor,
        rbf: torch.Tensor,
        u_per_edge: torch.Tensor | None,
        num_nodes: int,
    ) -> torch.Tensor:
        """Return the sum of the messages to each atom, shape (n, units); arguments are matgl's."""
        messages = _gated(self.node_update_func, edge_index, edge_feat, node_feat) * self.node_weight_func(rbf)
        summed: torch.Tensor = scatter_add(messages, edge_index[0], dim_size=num_nodes)
        return summed


def _is_as_expected(function: GatedMLP) -> bool:
    """Whether value and gate each begin with a linear layer with bias and SiLU."""
    starts = (function.layers[:2], function.gates[:2])
    return all(
        isinstance(first, torch.nn.Linear) and first.bias is not None and isinstance(second, torch.nn.SiLU)
        for first, second in starts
    )


def _gated(
    function: GatedMLP, edge_index: torch.Tensor, edge_feat: torch.Tensor, node_feat: torch.Tensor
) -> torch.Tensor:
    """Evaluate a gated layer on (centre, neighbour, edge) of each edge, shape (e, units)."""
    value, gate = function.layers[0], function.gates[0]
    weight, bias = torch.cat([value.weight, gate.weight]), torch.cat([value.bias, gate.bias])
    width = node_feat.shape[1]
    of_centre, of_neighbour, of_edge = weight.split([width, width, edge_feat.shape[1]], dim=1)
    first = linear(edge_feat, of_edge)
    first = first + linear(node_feat, of_centre, bias).index_select(0, edge_index[0])
    first = first + linear(node_feat, of_neighbour).index_select(0, edge_index[1])
    values, gates = torch.nn.functional.silu(first).chunk(2, dim=1)
    gated: torch.Tensor = function.layers[2:](values) * function.gates[2:](gates)
    return gated
