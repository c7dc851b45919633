"""Fewer multiplications, the same energies, forces, stresses and gradients; other networks are left alone."""

import copy

import pytest
import torch
from matgl.apps.pes import Potential
from matgl.ext.pymatgen import Structure2Graph
from matgl.models import M3GNet, TensorNet
from pymatgen.core import Lattice, Structure
from torch_geometric.data import Batch

from defect_surrogate.surrogates.light_messages import lighten

ELEMENTS = ("Cd", "Te")


@pytest.fixture
def network():
    torch.manual_seed(3)
    return M3GNet(
        element_types=ELEMENTS, is_intensive=False, units=8, dim_node_embedding=8, dim_edge_embedding=8, nblocks=2
    )


def evaluated(network):
    structure = Structure.from_spacegroup("F-43m", Lattice.cubic(6.48), ["Cd", "Te"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    structure.perturb(0.1, seed=1)
    graph, lattice, _ = Structure2Graph(ELEMENTS, 5.0).get_graph(structure)
    potential = Potential(network).double()
    potential.train()
    energy, forces, stress, _ = potential(Batch.from_data_list([graph]), lattice)
    loss = energy.sum() + forces.square().sum() + stress.square().sum()
    gradients = torch.autograd.grad(loss, list(potential.parameters()), allow_unused=True)
    return energy, forces, stress, [gradient for gradient in gradients if gradient is not None]


def test_values_and_gradients_are_the_same(network):
    light = copy.deepcopy(network)
    lighten(light)
    assert type(light.graph_layers[0].conv) is not type(network.graph_layers[0].conv)
    before, after = evaluated(network), evaluated(light)
    for one, other in zip(before[:3], after[:3], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    assert len(before[3]) == len(after[3]) > 10
    for one, other in zip(before[3], after[3], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_parameters_keep_their_names(network):
    names = list(network.state_dict())
    lighten(network)
    assert list(network.state_dict()) == names


def test_other_networks_are_left_alone():
    tensor_net = TensorNet(element_types=ELEMENTS, is_intensive=False, units=8)
    before = [type(module) for module in tensor_net.modules()]
    lighten(tensor_net)
    assert [type(module) for module in tensor_net.modules()] == before
