"""The surrogate task: archive first, then work, then the archive."""

import pytest

from defect_surrogate.archive import Archive
from defect_surrogate.errors import PotentialError
from defect_surrogate.relaxation import Unit
from defect_surrogate.settings import SurrogateSettings
from tasks import surrogate
from tasks.surrogate import relax_surrogate_unit

SETTINGS = SurrogateSettings(max_steps=2)


@pytest.fixture
def unit(cluster_crystal):
    return Unit("CdTe", "v_Cd_0", "Dimer", "surrogate", cluster_crystal, "method")


def test_result_is_archived_before_it_is_returned(unit, tmp_path):
    relaxation = relax_surrogate_unit.fn(unit, tmp_path, SETTINGS)
    assert relaxation.steps == 2
    assert relaxation.frames == ()
    archive = Archive(tmp_path)
    assert archive.find(unit) == relaxation
    assert len(archive.read_frames(unit)) == 2
    assert archive.attempts() == ()


def test_archived_unit_is_not_relaxed_again(unit, tmp_path, monkeypatch):
    first = relax_surrogate_unit.fn(unit, tmp_path, SETTINGS)
    monkeypatch.setattr(surrogate, "relax", lambda *_, **__: pytest.fail("relaxed again"))
    assert relax_surrogate_unit.fn(unit, tmp_path, SETTINGS) == first


def test_broken_work_leaves_its_attempt_and_no_unit(unit, tmp_path):
    with pytest.raises(PotentialError, match="nonesuch"):
        relax_surrogate_unit.fn(unit, tmp_path, SurrogateSettings(potential="nonesuch"))
    archive = Archive(tmp_path)
    assert archive.find(unit) is None
    (attempt,) = archive.attempts()
    assert "nonesuch" in attempt["error"]
