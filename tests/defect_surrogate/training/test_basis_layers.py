"""The scales against inputs looked at from outside, and what they do to a network and to its first step."""

import numpy as np
import pytest
import torch

from defect_surrogate.training.basis_layers import LARGEST, basis_scales, scale_weights
from defect_surrogate.training.graphs import batch_of, frame_graphs
from defect_surrogate.training.models import new_model, threebody_cutoff
from defect_surrogate.training.settings import OptimisationSettings
from defect_surrogate.training.trainer import train

ELEMENTS = ("Cl", "Na")
REFERENCES = np.array([-3.0, -1.5])


@pytest.fixture
def graphs(frame):
    frames = [frame("NaCl/v_Na_0/Dimer/0"), frame("NaCl/bulk/Strained_00/0")]
    return frame_graphs(frames, elements=ELEMENTS, cutoff=4.5, reference_energies=REFERENCES)


@pytest.fixture
def potential(tiny):
    return new_model(tiny, elements=ELEMENTS, reference_energies=REFERENCES, seed=1)


def test_scaled_inputs_have_the_size_of_one(potential, graphs):
    scales = basis_scales(potential, graphs)
    assert {name.split(".")[1] for name in scales} == {"embedding", "graph_layers", "three_body_interactions"}
    layer = potential.model.three_body_interactions[0].update_network_bond.layers[0]
    seen = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    for graph in graphs:
        batch = batch_of([graph], threebody_cutoff=threebody_cutoff(potential), device=torch.device("cpu"))
        potential(batch.graph, batch.lattices, l_g=batch.triples)
    hook.remove()
    size = float(torch.cat(seen).square().mean().sqrt())
    scale = scales["model.three_body_interactions.0.update_network_bond.layers.0.weight"]
    assert size < 0.1
    assert 2**-0.5 <= size * scale <= 2**0.5 or scale == LARGEST


def test_measuring_changes_nothing(potential, graphs):
    before = {name: value.clone() for name, value in potential.state_dict().items()}
    assert basis_scales(potential, graphs) == basis_scales(potential, graphs)
    assert all(torch.equal(value, before[name]) for name, value in potential.state_dict().items())
    assert not any(module._forward_pre_hooks for module in potential.modules())


def test_weights_are_multiplied_by_their_scales(potential, graphs):
    before = {name: value.clone() for name, value in potential.named_parameters()}
    scales = basis_scales(potential, graphs)
    scale_weights(potential, scales)
    for name, value in potential.named_parameters():
        torch.testing.assert_close(value, before[name] * scales.get(name, 1.0), rtol=0, atol=0)


def test_other_networks_have_no_such_layers(tiny, graphs):
    other = new_model(
        tiny.model_copy(update={"name": "TensorNet"}), elements=ELEMENTS, reference_energies=REFERENCES, seed=1
    )
    assert basis_scales(other, graphs) == {}


def test_a_scale_is_one_of_the_learning_rate(potential, graphs, tmp_path):
    """The first step of Adam is the learning rate, whatever the gradient."""
    name = "model.graph_layers.0.conv.edge_weight_func.weight"
    before = dict(potential.named_parameters())[name].detach().clone()
    settings = OptimisationSettings(epochs=1, batch_size=2, learning_rate=1e-3, averaging=0.0)
    train(potential, graphs, graphs, settings=settings, folder=tmp_path, identity="one", scales={name: 8.0})
    change = (dict(potential.named_parameters())[name].detach() - before).abs()
    assert float(change.max()) == pytest.approx(8e-3, rel=1e-3)
