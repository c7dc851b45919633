"""Whole atoms for fractions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.alloys import compositions_of
from defect_surrogate.alloys.compositions import _whole
from defect_surrogate.errors import AlloyError


def of(alloy, settings, *compositions, **keys):
    return compositions_of(alloy, settings.alloy.model_copy(update={"compositions": list(compositions)} | keys))


def test_the_nearest_whole_atoms_are_taken_and_said(cdsete, cdsete_settings):
    found = of(cdsete, cdsete_settings, 0.0, 0.2, 0.3, 0.5, 0.6, 0.8, 0.9, 1.0)
    assert [one.counts[1] for one in found] == [0, 6, 10, 16, 19, 26, 29, 32]
    assert [one.name for one in found][:4] == ["CdTe", "CdTe0.812Se0.188", "CdTe0.688Se0.312", "CdTe0.5Se0.5"]
    assert found[1].x == 6 / 32
    assert found[1].requested == (0.8, 0.2)


def test_fractions_by_species(cdsete, cdsete_settings):
    assert of(cdsete, cdsete_settings, {"Te": 0.25, "Se": 0.75})[0].counts == (8, 24)


@given(
    parts=st.lists(st.integers(0, 50), min_size=2, max_size=6).filter(any),
    sites=st.integers(1, 300),
)
def test_counts_are_the_whole_sublattice_and_no_atom_off(parts, sites):
    fractions = [part / sum(parts) for part in parts]
    counts = _whole(fractions, sites)
    assert sum(counts) == sites
    assert all(abs(count - fraction * sites) < 1 + 1e-6 for count, fraction in zip(counts, fractions, strict=True))


@pytest.mark.parametrize(
    ("composition", "keys", "message"),
    [
        (
            0.2,
            {"tolerance": 0.01},
            r"0\.2 of Se cannot be had on 32 sites: the nearest is 6/32 = 0\.1875, off by 0\.013",
        ),
        ({"Te": 0.5, "S": 0.5}, {}, "no end member has S"),
        ({"Te": 0.5}, {}, "sum to 1"),
        ({"Te": 1.5, "Se": -0.5}, {}, r"lie in \[0, 1\]"),
        (1.2, {}, r"lie in \[0, 1\]"),
    ],
)
def test_what_a_supercell_cannot_have_is_refused(cdsete, cdsete_settings, composition, keys, message):
    with pytest.raises(AlloyError, match=message):
        of(cdsete, cdsete_settings, composition, **keys)


def test_two_compositions_of_the_same_atoms_are_refused(cdsete, cdsete_settings):
    with pytest.raises(AlloyError, match=r"compositions 0\.5 and 0\.51 are both CdTe0\.5Se0\.5 with 32 sites"):
        of(cdsete, cdsete_settings, 0.5, 0.51)
