import pytest
from pymatgen.core import SETTINGS

from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.vasp.potcars import STAND_IN_MARK, potcar_symbol, read_potcar
from defect_surrogate.vasp_xtb.potcar import standin_potcar


@pytest.mark.parametrize(
    ("element", "functional", "symbol"),
    [
        ("Ga", "PBE", "Ga_d"),
        ("Te", "PBE", "Te"),
        ("W", "PBE", "W_pv"),
        ("W", "PBE_54", "W_sv"),
        ("Ga", STAND_IN_MARK, "Ga"),
    ],
)
def test_symbol_is_that_of_pymatgens_set_for_the_release(element, functional, symbol):
    assert potcar_symbol(element, functional=functional, chosen={}) == symbol


def test_users_symbol_wins():
    assert potcar_symbol("Ga", functional="PBE", chosen={"Ga": "Ga_h"}) == "Ga_h"


def test_set_without_recommendation_asks_for_symbols():
    with pytest.raises(ReferenceInputError, match=r"no recommended POTCAR of Cd for functional='PBE_54_W_HASH'"):
        potcar_symbol("Cd", functional="PBE_54_W_HASH", chosen={})


def test_real_library_is_read_with_title_and_valence(vasp_library):
    identity, text = read_potcar("Te", symbol="Te", functional="PBE")
    assert identity.titel == "PAW_PBE Te 06Sep2000"
    assert identity.valence == 6.0
    assert "End of Dataset" in text


def test_missing_potcar_names_symbol_functional_and_remedy(vasp_library):
    with pytest.raises(ReferenceInputError, match=r"POTCAR 'Se' for functional='PBE'.*PMG_VASP_PSP_DIR.*pmg config"):
        read_potcar("Se", symbol="Se", functional="PBE")


@pytest.mark.parametrize("library", [None, "no/such/folder"])
def test_missing_library_says_what_to_do(library, monkeypatch):
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", library)
    with pytest.raises(ReferenceInputError, match=r"POTCAR 'Te' for functional='PBE'.*PMG_VASP_PSP_DIR.*vasp-xtb"):
        read_potcar("Te", symbol="Te", functional="PBE")


def test_unknown_set_is_refused_with_those_known(vasp_library):
    with pytest.raises(ReferenceInputError, match=r"potcar_functional = 'PBB'.*PBE_54"):
        read_potcar("Te", symbol="Te", functional="PBB")


def test_stand_in_in_the_library_of_vasp_is_refused(vasp_library):
    (vasp_library / "POT_GGA_PAW_PBE" / "Te" / "POTCAR").write_text(standin_potcar(["Te"]))
    with pytest.raises(ReferenceInputError, match="is a stand-in for vasp-xtb"):
        read_potcar("Te", symbol="Te", functional="PBE")


def test_potcar_of_another_element_is_refused(vasp_library):
    with pytest.raises(ReferenceInputError, match="is of Cd, not of Te"):
        read_potcar("Te", symbol="Cd", functional="PBE")


def test_stand_in_needs_no_library_and_knows_no_uranium(monkeypatch):
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)
    identity, _ = read_potcar("Cd", symbol="Cd", functional=STAND_IN_MARK)
    assert STAND_IN_MARK in identity.titel
    with pytest.raises(ReferenceInputError, match="U"):
        read_potcar("U", symbol="U", functional=STAND_IN_MARK)
