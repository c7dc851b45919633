"""An archive, a unit, and an index that is a file."""

import pytest

from defect_surrogate.archive import Archive
from defect_surrogate.relaxation import Unit


@pytest.fixture(autouse=True)
def no_database(monkeypatch):
    monkeypatch.delenv("DEFECT_SURROGATE_INDEX", raising=False)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


@pytest.fixture
def unit(cluster_crystal):
    return Unit("CdTe", "v_Cd_0", "Dimer", "reference", cluster_crystal, "method")
