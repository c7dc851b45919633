"""The loss against sums by hand, with predictions that are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from defect_surrogate.training.graphs import batch_of, frame_graphs
from defect_surrogate.training.loss import batch_errors, interaction_energies, weighted_loss
from defect_surrogate.training.models import new_model
from defect_surrogate.training.settings import OptimisationSettings

ELEMENTS = ("Cl", "Na")
REFERENCES = np.array([-3.0, -1.5])
CPU = torch.device("cpu")


def graphs_of(*frames):
    return frame_graphs(frames, elements=ELEMENTS, cutoff=4.5, reference_energies=REFERENCES)


class Off:
    """Predicts the labels of a batch, but for errors that are given."""

    def __init__(self, energies, force, stress):
        self.errors, self.element_refs, self.model = (
            (energies, force, stress),
            "kept",
            SimpleNamespace(feature_dict={"layer": 1}),
        )

    def __call__(self, graph, lattices, l_g=None):
        assert self.element_refs is None
        energies, force, stress = self.errors
        batch = self.batch
        return (
            batch.energies + torch.tensor(energies),
            batch.forces + force,
            torch.nan_to_num(batch.stresses) + stress,
            None,
        )


def errors_of(potential, *frames, huber_delta=None):
    potential.batch = batch_of(graphs_of(*frames), threebody_cutoff=None, device=CPU)
    return batch_errors(potential, potential.batch, huber_delta=huber_delta)


def test_loss_by_hand(frame):
    """Vacancy of 7 atoms off by 0.7 eV, bulk of 8 off by -1.6 eV: 0.1 and -0.2 eV per atom; forces by 0.3, stress by 2 GPa."""
    errors = errors_of(Off([0.7, -1.6], 0.3, 2.0), frame(), frame("NaCl/bulk/Strained_00/0"))
    loss = weighted_loss(errors.losses, errors.counts, OptimisationSettings())
    assert float(loss) == pytest.approx((0.1**2 + 0.2**2) / 2 + 0.3**2 + 0.1 * 2.0**2, rel=1e-5)
    assert errors.counts.tolist() == [2, 45, 18, 0]
    mean = (errors.absolute / errors.counts[:3]).tolist()
    assert mean == pytest.approx([0.15, 0.3, 2.0], rel=1e-5)


@pytest.mark.parametrize(("delta", "force"), [(0.5, 0.3**2 / 2), (0.3, 0.3**2 / 2), (0.1, 0.1 * (0.3 - 0.1 / 2))])
def test_an_error_above_delta_counts_linearly(frame, delta, force):
    """Huber, doi:10.1214/aoms/1177703732: e²/2 up to δ, δ(|e| − δ/2) beyond."""
    errors = errors_of(Off([0.7], -0.3, 0.0), frame(), huber_delta=delta)
    assert float(errors.losses[1] / errors.counts[1]) == pytest.approx(force, rel=1e-5)


def test_weights_are_those_of_the_settings(frame):
    errors = errors_of(Off([0.7], 0.3, 2.0), frame())
    settings = OptimisationSettings(energy_weight=2.0, force_weight=0.0, stress_weight=3.0)
    assert float(weighted_loss(errors.losses, errors.counts, settings)) == pytest.approx(
        2 * 0.1**2 + 3 * 2.0**2, rel=1e-5
    )


def test_relative_energies_are_of_the_frames_of_one_defect(frame):
    """Off by 0.7, 2.1 and 1.4 eV in 7 atoms, 0.1 above and below and at their mean; the bulk frame has none to compare with."""
    frames = frame(), frame("NaCl/bulk/Strained_00/0"), frame("NaCl/v_Na_0/Dimer/1"), frame("NaCl/v_Na_0/Dimer/2")
    errors = errors_of(Off([0.7, 0.8, 2.1, 1.4], 0.0, 0.0), *frames)
    assert errors.counts.tolist() == [4, 3 * 29, 36, 2]
    settings = OptimisationSettings(energy_weight=0.0, stress_weight=0.0, relative_energy_weight=5.0)
    loss = weighted_loss(errors.losses, errors.counts, settings)
    assert float(loss) == pytest.approx(5 * (0.1**2 + 0.1**2) / 2, rel=1e-5)


def test_a_missing_stress_counts_for_nothing(frame):
    with_stress, without = frame(), frame("NaCl/bulk/Strained_00/0", stress=False)
    both = errors_of(Off([0.7, 0.8], 0.3, 2.0), with_stress, without)
    assert both.counts.tolist() == [2, 45, 9, 0]
    loss = weighted_loss(both.losses, both.counts, OptimisationSettings())
    assert float(loss) == pytest.approx(0.1**2 + 0.3**2 + 0.1 * 2.0**2, rel=1e-5)
    alone = errors_of(Off([0.8], 0.3, 2.0), without)
    assert alone.counts.tolist() == [1, 24, 0, 0]
    loss = weighted_loss(alone.losses, alone.counts, OptimisationSettings())
    assert float(loss) == pytest.approx(0.1**2 + 0.3**2, rel=1e-5)


@pytest.fixture(scope="module")
def potential(tiny):
    return new_model(tiny, elements=ELEMENTS, reference_energies=REFERENCES, seed=1)


def test_a_missing_stress_has_a_gradient_that_is_a_number(frame, potential):
    batch = batch_of(graphs_of(frame(stress=False), frame()), threebody_cutoff=3.6, device=CPU)
    potential.train()
    errors = batch_errors(potential, batch, huber_delta=0.01)
    weighted_loss(errors.losses, errors.counts, OptimisationSettings()).backward(inputs=list(potential.parameters()))
    gradients = [parameter.grad for parameter in potential.parameters() if parameter.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0


def test_errors_are_those_of_whole_energies_and_the_references_are_put_back(frame, potential):
    """What labels and network both leave out is in neither's difference."""
    one = frame()
    potential.eval()
    references = potential.element_refs
    batch = batch_of(graphs_of(one), threebody_cutoff=3.6, device=CPU)
    errors = batch_errors(potential, batch, huber_delta=0.01)
    assert potential.element_refs is references
    assert potential.model.feature_dict == {}
    whole = float(potential(batch.graph, batch.lattices, l_g=batch.triples)[0])
    assert float(errors.absolute[0]) == pytest.approx(abs(whole - one.energy) / 7, abs=1e-5)


def test_interactions_are_energies_without_references(frame, potential):
    frames = [frame(), frame("NaCl/bulk/Strained_00/0")]
    found = interaction_energies(potential, graphs_of(*frames), threebody_cutoff=3.6)
    for one, interaction, atoms in zip(
        graphs_of(*frames), found, (REFERENCES @ [4, 3], REFERENCES @ [4, 4]), strict=True
    ):
        batch = batch_of([one], threebody_cutoff=3.6, device=CPU)
        whole = float(potential(batch.graph, batch.lattices, l_g=batch.triples)[0])
        assert interaction + atoms == pytest.approx(whole, abs=1e-5)
