"""Defaults are the paper's, and what cannot be meant is refused."""

import pytest

from defect_surrogate.errors import SettingsError
from defect_surrogate.settings_files import read_settings
from defect_surrogate.training.settings import TrainSettings


def test_defaults_are_those_of_the_paper():
    """Methods and Supplementary Notes 1.B of doi:10.1038/s41524-024-01303-9."""
    settings = TrainSettings(data=["salts"])
    optimisation, frames, split = settings.optimisation, settings.frames, settings.split
    weights = (optimisation.energy_weight, optimisation.force_weight, optimisation.stress_weight)
    assert weights == (1.0, 1.0, 0.1)
    assert (frames.per_relaxation, frames.energy_window) == (10, 15.0)
    assert (split.test_fraction, split.validation_fraction, split.seen_fraction) == (0.27, 0.05, 0.05)
    assert (settings.architecture.name, settings.architecture.cutoff, settings.architecture.threebody_cutoff) == (
        "M3GNet",
        5.0,
        4.0,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: []\n", "data: List should have at least 1 item"),
        ("base: model\n", "data: Field required"),
        ("data: [a]\noptimisation: {learning_rates: 1}\n", "optimisation.learning_rates: Extra inputs"),
        ("data: [a]\ntrainable: first layer\n", "trainable: Input should be 'all', 'last layer' or 'last two layers'"),
        ("data: [a]\narchitecture: {name: MACE}\n", "architecture.name"),
        ("data: [a]\noptimisation: {learning_rate: .nan}\n", "optimisation.learning_rate"),
        ("data: [a]\nensemble: 0\n", "ensemble"),
        ("data: [a]\nbase: chgnet\n", "base: chgnet: the weights of the chgnet package cannot be trained here"),
        ("data: [a]\nbase: b\narchitecture: {units: 32}\n", "architecture: the base has its own"),
        ("data: [a]\ntrainable: last layer\n", "trainable: last layer: without a base"),
        ("data: [a]\nframes: {total: 100}\n", "total: is for method: DIRECT"),
        ("data: [a]\nisolated_atoms: {Cd: -1.0, Qq: -3.0}\n", "isolated_atoms: .*Qq: no element has this symbol"),
        ("data: [a]\noptimisation: {energy_weight: 0, force_weight: 0, stress_weight: 0}\n", "are all 0"),
    ],
)
def test_a_fault_names_its_key(tmp_path, text, words):
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=words):
        read_settings(path, TrainSettings)
