"""What is found in an index, whoever asks."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from defect_surrogate.archive import Archive, count_rows, find_rows, indexed_structure, update_index
from defect_surrogate.errors import InputError
from defect_surrogate.relaxation import Unit
from tests.units import publish


@pytest.fixture(scope="module")
def indexed(tmp_path_factory, cluster_crystal):
    """Root of an archive of one unit with an index."""
    archive = Archive(tmp_path_factory.mktemp("indexed") / "archive")
    publish(archive, Unit("CdTe", "v_Cd_0", "Dimer", "reference", cluster_crystal, "method"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DEFECT_SURROGATE_INDEX", raising=False)
        update_index(archive)
    return archive.root


def test_a_row_says_what_the_unit_does(archive, unit):
    relaxed = publish(archive, unit)
    update_index(archive)
    (row,) = find_rows(archive.root)
    assert dataclasses.asdict(row) == {
        "host": "CdTe",
        "defect": "v_Cd_0",
        "label": "Dimer",
        "level": "reference",
        "key": unit.key,
        "converged": True,
        "reason": "converged",
        "steps": 2,
        "energy": -12.3456789,
        "level_of_theory": "GFN1-xTB (stand-in)",
        "directory": f"units/CdTe/v_Cd_0/Dimer/reference/{unit.key[:16]}",
        "formula": "Cd4Te4",
    }
    found = indexed_structure(archive.root, unit.key)
    assert found.species == relaxed.species
    np.testing.assert_allclose(found.lattice.matrix, relaxed.lattice.matrix, atol=1e-12)
    np.testing.assert_allclose(found.cart_coords, relaxed.cart_coords, atol=1e-12)


def test_a_diverged_unit_has_no_energy(archive, unit):
    publish(archive, unit, energy=math.nan, converged=False, reason="diverged")
    update_index(archive)
    (row,) = find_rows(archive.root)
    assert (row.energy, row.converged, row.reason) == (None, False, "diverged")


def test_rows_are_found_by_what_they_are_in_pages(archive, unit):
    for host, defect, level in (
        ("CdTe", "v_Cd_0", "reference"),
        ("CdTe", "v_Cd_0", "surrogate"),
        ("CdTe", "v_Te_0", "surrogate"),
        ("ZnO", "v_Zn_0", "surrogate"),
    ):
        one = dataclasses.replace(unit, host=host, defect=defect, level=level)
        publish(archive, one, **({"converged": False, "reason": "step limit"} if host == "ZnO" else {}))
    update_index(archive)
    root = archive.root
    rows = find_rows(root)
    assert [row.directory for row in rows] == sorted(row.directory for row in rows)
    assert [find_rows(root, limit=1, offset=i)[0] for i in range(4)] == rows
    assert find_rows(root, limit=3, offset=3) == rows[3:]
    assert find_rows(root, offset=4) == []
    assert find_rows(root, host="CdTe", limit=2, offset=1) == rows[1:3]
    for filters, expected in (
        ({"host": "CdTe"}, rows[:3]),
        ({"host": "CdTe", "defect": "v_Te_0"}, rows[2:3]),
        ({"level": "reference"}, rows[:1]),
        ({"converged": True}, rows[:3]),
        ({"converged": False}, rows[3:]),
        ({"host": "ZnO", "converged": True}, []),
    ):
        assert find_rows(root, **filters) == expected
        assert count_rows(root, **filters) == len(expected)
    for limit, offset in ((0, 0), (-1, 0), (1, -1), (10**30, 0)):
        with pytest.raises(InputError, match=f"limit={limit}, offset={offset}"):
            find_rows(root, limit=limit, offset=offset)


def test_a_name_that_could_be_a_number_is_a_name(archive, unit):
    """ASE refuses to keep them: indium fluoride would be infinite."""
    for host in ("InF", "NaN", "1e5", "True"):
        publish(archive, dataclasses.replace(unit, host=host))
    assert update_index(archive) == 4
    assert [row.host for row in find_rows(archive.root)] == ["1e5", "InF", "NaN", "True"]
    (row,) = find_rows(archive.root, host="InF")
    assert (row.host, row.directory) == ("InF", f"units/InF/v_Cd_0/Dimer/reference/{unit.key[:16]}")
    assert find_rows(archive.root, host="inf") == []


@settings(max_examples=60, deadline=None)
@example("host=CdTe")
@example("nan")
@example("\ud800")
@example("a\0")
@given(st.text(st.characters(), max_size=30))
def test_no_string_is_more_than_a_name(indexed, text):
    if text not in ("CdTe", "v_Cd_0", "reference"):
        assert find_rows(indexed, host=text) == find_rows(indexed, defect=text) == find_rows(indexed, level=text) == []
        assert count_rows(indexed, host=text) == 0
        assert indexed_structure(indexed, text) is None


def test_without_an_index_there_is_nothing(archive, unit):
    assert find_rows(archive.root) == []
    assert count_rows(archive.root) == 0
    assert indexed_structure(archive.root, unit.key) is None
    assert list(archive.root.glob("index*")) == []
