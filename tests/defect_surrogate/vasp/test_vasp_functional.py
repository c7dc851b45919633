import pytest

from defect_surrogate.settings import DEFECT_INCAR, HOST_INCAR
from defect_surrogate.vasp.functional import functional_name, stand_in_level

TITLE = "PAW_PBE Cd 06Sep2000"


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        (DEFECT_INCAR, "HSE06"),
        (HOST_INCAR, "HSE06"),
        ({}, "PBE"),
        ({"GGA": "--", "METAGGA": "--", "LHFCALC": False, "AEXX": 0.0}, "PBE"),
        ({"GGA": "Ps"}, "PBEsol"),
        ({"LHFCALC": True, "GGA": "Pe"}, "PBE0"),
        ({"LHFCALC": ".TRUE.", "HFSCREEN": 0.3}, "HSE03"),
        ({"LHFCALC": True, "HFSCREEN": 0.2, "AEXX": 0.345}, "PBE hybrid (AEXX = 0.345, HFSCREEN = 0.2)"),
        ({"LHFCALC": True, "AEXX": 1.0}, "HF"),
        ({"METAGGA": "R2scan", "IVDW": 12}, "r2SCAN-D3(BJ)"),
        ({"LDAU": True}, "PBE+U"),
        (dict(DEFECT_INCAR) | {"LSORBIT": True}, "HSE06+SOC"),
    ],
)
def test_functional_is_named_from_tags(tags, name):
    assert functional_name(tags, potcar_titles=[TITLE]) == name


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({"LDAUU": [4.0, 0.0, 6.2], "LDAUJ": [0.0, 0.0, 1.0]}, "PBE+U (Fe 4, Ni 5.2)"),
        ({"LDAUU": "4.0 0.0 6.2", "LDAUJ": "0.0 0.0 1.0"}, "PBE+U (Fe 4, Ni 5.2)"),
        ({"LDAUU": [4.0, 0.0, 6.2]}, "PBE+U (Fe 4, Ni 6.2)"),
        ({"LDAUU": [4.0, 0.0, 4.0], "LDAUJ": [4.0, 0.0, 0.0]}, "PBE+U (Ni 4)"),
        ({"LDAUU": [4.0, 0.0, 0.0], "LDAUJ": [1.0, 0.0, 0.0], "LDAUTYPE": 1}, "PBE+U (Fe U 4 J 1)"),
        ({"LDAUU": [4.0, 0.0]}, "PBE+U"),
        ({"LDAUU": "****"}, "PBE+U"),
    ],
)
def test_hubbard_parameters_belong_to_elements(tags, name):
    titles = ["PAW_PBE Fe_pv 02Aug2007", "PAW_PBE O 08Apr2002", "PAW_PBE Ni_pv 06Sep2000"]
    assert functional_name({"LDAU": True} | tags, potcar_titles=titles) == name


@pytest.mark.parametrize(("title", "name"), [("PAW Cd 07Sep2000", "LDA"), ("PAW_GGA Cd 07Sep2000", "PW91")])
def test_potcar_decides_where_gga_is_not_set(title, name):
    assert functional_name({}, potcar_titles=[title]) == name


def test_stand_in_says_what_it_is():
    assert stand_in_level("Gfn1-xtb") == "GFN1-xTB (vasp-xtb, stand-in for VASP)"
