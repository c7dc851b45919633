from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Structure

from defect_surrogate.dataset.host_compositions import (
    Exchange,
    exchange_of,
    host_by_name,
    host_by_rounding,
    is_of_host,
    reduced_formula,
)


@pytest.mark.parametrize(
    ("name", "removed", "added"),
    [
        ("v_Cd", "Cd", None),
        ("v_Cd_0", "Cd", None),
        ("v_Cd_Td_Te2.81_-2", "Cd", None),
        ("vac_1_Cd_0", "Cd", None),
        ("V_Cd_0", "Cd", None),
        ("Te_Cd_+2", "Cd", "Te"),
        ("Te_Cd_C3v_0", "Cd", "Te"),
        ("as_1_Te_on_Cd_0", "Cd", "Te"),
        ("sub_1_Cl_on_Te_1", "Te", "Cl"),
        ("Cd_i_C3v_+2", None, "Cd"),
        ("Cd_i", None, "Cd"),
        ("inter_3_Cd_2", None, "Cd"),
    ],
)
def test_names_of_doped_and_of_pymatgen_are_understood(name, removed, added):
    assert exchange_of(name) == Exchange(removed, added)


@pytest.mark.parametrize("name", ["", "bulk", "v", "v_Xx_0", "CdTe", "Bond_Distortion_-30.0%", "as_1_Te_Cd", "relax_1"])
def test_other_names_say_nothing(name):
    assert exchange_of(name) is None


def test_a_capital_v_is_vanadium_where_there_is_vanadium():
    assert exchange_of("V_Ti_0", vanadium=True) == Exchange("Ti", "V")
    assert host_by_name({"Ti": 31, "O": 64, "V": 1}, "V_Ti_0") == "TiO2"
    assert host_by_name({"Ti": 31, "O": 64}, "V_Ti_0") == "TiO2"
    assert is_of_host({"Ti": 32, "O": 64, "V": 1}, "V_i_0", formula="TiO2")


@given(
    formula=st.sampled_from(["CdTe", "Li4SnS4", "AgBiSCl2", "Cd8Te5Se3", "Cu12Sb4S13", "Si"]),
    units=st.integers(8, 40),
    kind=st.sampled_from(["v_{0}", "{1}_{0}", "{0}_i", "Br_{0}"]),
    data=st.data(),
)
def test_a_point_defect_gives_its_host_away(formula, units, kind, data):
    host = Composition(formula).reduced_formula
    counts = Counter({str(e): int(n) * units for e, n in Composition(formula).items()})
    one, other = data.draw(st.permutations([*counts, "Cl"] if len(counts) == 1 else list(counts)))[:2]
    one = one if one in counts else other
    name = kind.format(one, other) + "_0"
    exchange = exchange_of(name)
    counts.update([exchange.added] if exchange.added else [])
    counts.subtract([exchange.removed] if exchange.removed else [])
    present = {element: count for element, count in counts.items() if count}
    assert host_by_name(present, name) == host
    assert is_of_host(present, name, formula=host)
    assert not is_of_host(present, name, formula="GaAs")


def test_the_hybrid_dft_vacancy_is_of_cdte(hse_search):
    structure = Structure.from_file(hse_search / "Unperturbed" / "CONTCAR")
    counts = {"Cd": 31, "Te": 32}
    assert reduced_formula(Structure.from_file(hse_search / "bulk_POSCAR").composition.as_dict()) == "CdTe"
    assert structure.composition.as_dict() == counts
    assert host_by_name(counts, "v_Cd_0") == host_by_rounding(counts) == "CdTe"


@pytest.mark.parametrize(
    ("counts", "formula"),
    [
        ({"Li": 64, "Sn": 15, "S": 64}, "Li4SnS4"),
        ({"Cd": 33, "Te": 31}, "CdTe"),
        ({"Cd": 32, "Te": 31, "Cl": 1}, "CdTe"),
        ({"Si": 63}, "Si"),
        ({"Cd": 32, "Te": 32}, "CdTe"),
        ({"Cd": 37, "Te": 13, "Se": 23}, None),
        ({"Na": 1, "Cl": 1}, None),
    ],
)
def test_a_formula_is_found_by_rounding_or_not_at_all(counts, formula):
    assert host_by_rounding(counts) == formula


def test_a_name_that_contradicts_the_atoms_is_no_evidence():
    assert host_by_name({"Cd": 32, "Te": 32}, "v_Cd_0") is None
    assert host_by_name({"Cd": 31, "Te": 32}, "Cl_Te_0") is None
    assert host_by_name({"Cd": 31, "Te": 32}, "Unknown") is None
    assert not is_of_host({"Cd": 31, "Te": 32}, "bulk", formula="CdTe")
    assert is_of_host({"Cd": 8, "Te": 8}, "bulk", formula="CdTe")
    assert is_of_host({"Cd": 31, "Te": 32}, "complex_1", formula="CdTe")
