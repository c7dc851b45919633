"""The surrogate task: archive first, then work, then the archive."""

import pytest
from ase.calculators.calculator import Calculator

from defect_surrogate.archive import Archive
from defect_surrogate.errors import PotentialError
from defect_surrogate.relaxation import Unit
from defect_surrogate.settings import SurrogateSettings
from tasks import surrogate
from tasks.surrogate import relax_surrogate_units
from tests.potentials import as_potential


class CannotBeCalled(Calculator):
    """Of nothing."""

    implemented_properties = ("energy", "forces")

    def calculate(self, *_, **__):
        pytest.fail("relaxed again")


SETTINGS = SurrogateSettings(max_steps=2)


@pytest.fixture
def unit(cluster_crystal):
    return Unit("CdTe", "v_Cd_0", "Dimer", "surrogate", cluster_crystal, "method")


def test_result_is_archived(unit, tmp_path):
    relax_surrogate_units.fn((unit,), tmp_path, SETTINGS)
    archive = Archive(tmp_path)
    relaxation = archive.find(unit)
    assert (relaxation.steps, relaxation.frames) == (2, ())
    assert len(archive.read_frames(unit)) == 2
    assert archive.attempts() == ()


def test_archived_unit_is_not_relaxed_again(unit, tmp_path, monkeypatch):
    relax_surrogate_units.fn((unit,), tmp_path, SETTINGS)
    monkeypatch.setattr(surrogate, "_potential", lambda _: as_potential(CannotBeCalled()))
    relax_surrogate_units.fn((unit,), tmp_path, SETTINGS)


def test_force_field_that_cannot_be_loaded_leaves_no_unit(unit, tmp_path):
    with pytest.raises(PotentialError, match="nonesuch"):
        relax_surrogate_units.fn((unit,), tmp_path, SurrogateSettings(potential="nonesuch"))
    archive = Archive(tmp_path)
    assert archive.find(unit) is None
    assert archive.attempts() == ()
