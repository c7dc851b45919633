"""Settings of a sweep: what is refused while it is read."""

import pytest
import yaml

from defect_surrogate.alloys import SweepSettings
from defect_surrogate.errors import SettingsError
from defect_surrogate.settings_files import read_settings

ALLOY = {"end_members": ["CdTe.cif", "CdSe.cif"], "sublattice": "Te", "compositions": [0.5]}


def read(tmp_path, content):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    return read_settings(path, SweepSettings)


def test_defaults_are_the_papers(tmp_path):
    settings = read(tmp_path, {"alloy": ALLOY})
    assert settings.neighbours.distortions == [-0.6, -0.5, -0.4, -0.3, -0.2]
    assert settings.alloy.structures == "random"
    assert settings.environments.grouped_by == "first shell"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"alloy": ALLOY | {"compositions": [1.2]}},
            r"yaml: alloy.compositions.0.x: [^;]* less than or equal to 1 \(got 1\.2\)$",
        ),
        ({"alloy": ALLOY | {"compositions": [-0.1]}}, r"greater than or equal to 0.*got -0\.1"),
        ({"alloy": ALLOY | {"compositions": []}}, "alloy.compositions"),
        ({"alloy": ALLOY | {"compositions": [{"Te": 0.5, "Se": 0.4}]}}, "do not sum to 1"),
        ({"alloy": ALLOY | {"end_members": ["CdTe.cif"]}}, "alloy.end_members"),
        ({"alloy": ALLOY | {"end_members": ["a", "b", "c"]}}, "give the fraction of each species"),
        ({"alloy": ALLOY | {"realisations": 0}}, "alloy.realisations"),
        ({"alloy": ALLOY | {"sqs": True}}, "alloy.sqs"),
        ({}, "alloy: Field required"),
        ({"alloy": ALLOY, "surrogate_only": True}, "surrogate_only: host.relax and full_reference"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path, content, message):
    with pytest.raises(SettingsError, match=message):
        read(tmp_path, content)
