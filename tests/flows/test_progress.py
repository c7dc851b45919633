"""Lines a person can follow."""

import math
from types import SimpleNamespace

import pytest

from flows.progress import finished_line


@pytest.mark.parametrize(("energy", "shown"), [(-142.2149, "-142.215 eV"), (math.nan, "no energy")])
def test_line_of_a_unit(energy, shown):
    relaxation = SimpleNamespace(energy=energy, reason="converged", steps=212)
    line = finished_line("CdTe/v_Cd_0/Dimer/surrogate", relaxation, done=3, total=15)
    assert line == f"CdTe/v_Cd_0/Dimer/surrogate converged, {shown}, 212 steps, 3 of 15"
