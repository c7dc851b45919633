"""Networks by name, bases, and which layers learn."""

import json

import numpy as np
import pytest
import torch

from defect_surrogate.errors import PotentialError
from defect_surrogate.training.graphs import batch_of, frame_graphs
from defect_surrogate.training.loss import batch_errors, weighted_loss
from defect_surrogate.training.models import (
    base_model,
    freeze,
    new_model,
    reference_energies,
    save_model,
    set_reference_energies,
    threebody_cutoff,
)
from defect_surrogate.training.settings import ArchitectureSettings, OptimisationSettings

ELEMENTS = ("Cl", "Na")
REFERENCES = np.array([-3.0, -1.5])
ARCHITECTURES = ("M3GNet", "TensorNet", "CHGNet", "SO3Net")


def small(name, blocks=2):
    return ArchitectureSettings(name=name, units=4, blocks=blocks, cutoff=4.5, threebody_cutoff=3.6, smooth=False)


def model(name="M3GNet", seed=1):
    return new_model(small(name), elements=ELEMENTS, reference_energies=REFERENCES, seed=seed)


def step(potential, frames):
    """Names of the weights that one step of Adam changes."""
    graphs = frame_graphs(frames, elements=ELEMENTS, cutoff=4.5, reference_energies=REFERENCES)
    batch = batch_of(graphs, threebody_cutoff=threebody_cutoff(potential), device=torch.device("cpu"))
    before = {name: parameter.detach().clone() for name, parameter in potential.named_parameters()}
    trained = [parameter for parameter in potential.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=0.01)
    potential.train()
    errors = batch_errors(potential, batch, huber_delta=0.01)
    weighted_loss(errors.losses, errors.counts, OptimisationSettings()).backward(inputs=trained)
    optimiser.step()
    return {name for name, parameter in potential.named_parameters() if not torch.equal(parameter, before[name])}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_learns_and_has_the_sizes_asked_for(name, frame):
    potential = model(name)
    assert type(potential.model).__name__ == name
    assert tuple(potential.model.element_types) == ELEMENTS
    assert float(potential.model.cutoff) == 4.5
    assert (threebody_cutoff(potential) == 3.6) == (name == "M3GNet")
    np.testing.assert_allclose(reference_energies(potential), REFERENCES)
    assert len(step(potential, [frame(), frame("NaCl/bulk/Strained_00/0")])) > 5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_seed_decides_the_weights(name):
    first, same, other = (torch.cat([p.flatten() for p in model(name, seed).parameters()]) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


BLOCKS = {
    "M3GNet": ("model.three_body_interactions.", "model.graph_layers."),
    "TensorNet": ("model.layers.",),
    "CHGNet": ("model.atom_graph_layers.",),
    "SO3Net": ("model.so3convs.",),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("trainable", ["last layer", "last two layers"])
def test_only_the_last_layers_change(name, trainable, frame):
    potential = model(name)
    freeze(potential, trainable)
    allowed = ["model.final_layer."]
    if trainable == "last two layers":
        allowed += [prefix + "1." for prefix in BLOCKS[name]]
    changed = step(potential, [frame()])
    assert {one for one in changed if not one.startswith(tuple(allowed))} == set()
    for prefix in allowed:
        assert any(one.startswith(prefix) for one in changed), prefix


def test_all_layers_are_trained_by_default_even_after_a_freeze(frame):
    potential = model()
    freeze(potential, "last layer")
    freeze(potential, "all")
    assert all(parameter.requires_grad for parameter in potential.parameters())


def test_a_network_of_unknown_blocks_is_not_half_frozen():
    potential = model()
    potential.model = torch.nn.ModuleDict({"final_layer": torch.nn.Linear(2, 2)})
    potential.model.final_layer = potential.model["final_layer"]
    with pytest.raises(PotentialError, match="ModuleDict: cannot train its last two layers alone"):
        freeze(potential, "last two layers")


def test_other_reference_energies_leave_all_else_of_a_model(tmp_path):
    """Also what is not in its weights, such as a repulsion at short range, and also once it was saved."""
    from matgl.apps.pes import Potential

    options = {"data_mean": 0.5, "data_std": 2.0, "calc_repuls": True}
    potential = Potential(model().model, element_refs=REFERENCES, **options)
    set_reference_energies(potential, np.array([-7.0, -8.0]))
    save_model(potential, tmp_path / "model", level_of_theory="HSE06 (VASP)")
    loaded = base_model(str(tmp_path / "model")).model
    np.testing.assert_allclose(reference_energies(loaded), [-7.0, -8.0])
    assert json.loads((tmp_path / "model" / "model.json").read_text())["kwargs"]["element_refs"] == [-7.0, -8.0]
    assert (float(loaded.data_mean), float(loaded.data_std), loaded.calc_repuls) == (0.5, 2.0, True)


def test_a_saved_base_comes_back_with_its_level_of_theory_and_learns(tmp_path, frame):
    potential = model()
    potential.requires_grad_(False)
    save_model(potential, tmp_path / "model", level_of_theory="HSE06 (VASP)")
    base = base_model(str(tmp_path / "model"))
    assert base.level_of_theory == "HSE06 (VASP)"
    for name, value in potential.state_dict().items():
        assert torch.equal(value, base.model.state_dict()[name]), name
    assert step(base.model, [frame()])


def test_a_base_that_was_saved_without_stress_has_it(tmp_path):
    from matgl.apps.pes import Potential

    Potential(model().model, element_refs=REFERENCES, calc_stresses=False).save(tmp_path / "model")
    assert base_model(str(tmp_path / "model")).model.calc_stresses


def test_a_base_without_reference_energies_is_refused(tmp_path):
    from matgl.apps.pes import Potential

    Potential(model().model).save(tmp_path / "model")
    with pytest.raises(PotentialError, match="model: has no reference energies and cannot be a base"):
        base_model(str(tmp_path / "model"))


def test_a_base_of_an_older_convention_is_refused(tmp_path):
    save_model(model(), tmp_path / "model", level_of_theory="HSE06 (VASP)")
    path = tmp_path / "model" / "model.json"
    description = json.loads(path.read_text())
    description["kwargs"]["model"]["@model_version"] = 1
    path.write_text(json.dumps(description))
    with pytest.raises(PotentialError, match="M3GNet is of convention 1, the installed matgl"):
        base_model(str(tmp_path / "model"))
