import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.io.vasp.inputs import Incar

from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.settings import DEFECT_INCAR, HOST_INCAR
from defect_surrogate.vasp.incar import merged_incar


@pytest.mark.parametrize("defaults", [DEFECT_INCAR, HOST_INCAR])
def test_defaults_of_the_paper_are_tags_vasp_knows(defaults):
    incar = merged_incar(defaults, {}, stand_in=False)
    assert set(incar) == set(defaults)
    assert incar["ENCUT"] == defaults["ENCUT"]
    assert incar["EDIFFG"] == defaults["EDIFFG"]


def test_overrides_win_in_any_case_and_get_the_type_vasp_reads():
    incar = merged_incar(DEFECT_INCAR, {"encut": 400, "MAGMOM": [1, 1, -1], "LHFCALC": False}, stand_in=False)
    assert incar["ENCUT"] == 400.0
    assert isinstance(incar["ENCUT"], float)
    assert incar["LHFCALC"] is False
    assert incar["MAGMOM"] == [1.0, 1.0, -1.0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"ENCUTT": 350}, "ENCUTT = 350"),
        ({"NSW": "many"}, "NSW = many"),
        ({"ALGO": "Fats"}, "ALGO = Fats"),
        ({"ISMEAR": 0.5}, "ISMEAR = 0.5"),
        ({"NELECT": 100}, "NELECT = 100"),
        ({"ALGO": "Normal\nNSW = 0"}, "grammar"),
        ({"ALGO": "Normal ; NSW = 0"}, "grammar"),
        ({"SYSTEM": "CdTe # host"}, "grammar"),
        ({"XTB_METHOD": "GFN1-xTB"}, "XTB_METHOD = GFN1-xTB"),
    ],
)
def test_bad_tag_is_refused_by_name_and_value(overrides, message):
    with pytest.raises(ReferenceInputError, match=message):
        merged_incar(DEFECT_INCAR, overrides, stand_in=False)


def test_stand_in_has_tags_of_its_own():
    incar = merged_incar({}, {"xtb_method": "GFN2-xTB", "XTB_MIN_WIDTH": 8.0}, stand_in=True)
    assert incar == {"XTB_METHOD": "GFN2-xTB", "XTB_MIN_WIDTH": 8.0}


@pytest.mark.parametrize("overrides", [{"XTB_METHOD": "GFN0-xTB"}, {"XTB_MIN_WIDTH": "small"}])
def test_stand_in_refuses_values_it_does_not_offer(overrides):
    with pytest.raises(ReferenceInputError, match=r"XTB_M.* = (GFN0-xTB|small)"):
        merged_incar({}, overrides, stand_in=True)


@given(
    encut=st.floats(100, 2000),
    ediffg=st.floats(-1, -1e-6),
    nsw=st.integers(0, 10_000),
    hybrid=st.booleans(),
)
def test_checked_incar_is_read_back_as_it_was_written(encut, ediffg, nsw, hybrid):
    overrides = {"ENCUT": encut, "EDIFFG": ediffg, "NSW": nsw, "LHFCALC": hybrid}
    incar = merged_incar(DEFECT_INCAR, overrides, stand_in=False)
    assert dict(Incar.from_str(Incar(incar).get_str())) == incar
    assert {tag: incar[tag] for tag in overrides} == overrides
