"""POSCAR: every form that VASP reads, against ASE, and exact restarts."""

from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from defect_surrogate.vasp_xtb.errors import VaspXtbStop
from defect_surrogate.vasp_xtb.poscar import Poscar, format_poscar, read_poscar

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "CdTe_v_Cd_0_HSE06"
FORMS = {
    "direct": "CdTe\n1.0\n10 0 0\n0 11 0\n1 0 12\nCd Te\n1 2\nDirect\n0 0 0\n0.25 0.25 0.25 Te\n1.5 -0.5 0.5\n",
    "cartesian": "CdTe\n1.0\n10 0 0\n0 11 0\n1 0 12\nCd Te\n1 2\nCartesian\n0 0 0\n2 2 2\n5 5 5\n",
    "scaled": "CdTe\n2.5\n4 0 0\n0 4.4 0\n1 0 5\nCd_d Te/3f\n1 2\ncart\n0 0 0\n1 1 1\n2 2 2\n",
    "volume": "CdTe\n-1500.0\n4 0 0\n0 4.4 0\n1 0 5\nCd Te\n1 2\nK\n0 0 0\n1 1 1\n2 2 2\n",
    "three factors": "CdTe\n1.0 2.0 0.5\n10 0 0\n0 11 0\n1 0 12\nCd Te\n1 2\nCartesian\n0 0 0\n2 2 2\n5 5 5\n",
    "selective": "CdTe\n1.0\n10 0 0\n0 11 0\n1 0 12\nCd Te\n1 2\nSel\nD\n0 0 0 F F F\n.2 .2 .2 T T F\n.5 .5 .5 T T T\n",
    "velocities": "CdTe\n1.0\n10 0 0\n0 11 0\n1 0 12\nCd Te\n1 2\nD\n0 0 0\n.25 .25 .25\n.5 .5 .5\n\n 0 0 1\n0 0 0\n0 0 0\n",
    "two blocks": "CdTe\n1.0\n10 0 0\n0 11 0\n1 0 12\nTe Cd Te\n1 1 1\nD\n0 0 0\n.25 .25 .25\n.5 .5 .5\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_agree_with_ase(tmp_path: Path, form: str) -> None:
    (tmp_path / "POSCAR").write_text(FORMS[form])
    ours, theirs = read_poscar(tmp_path / "POSCAR"), read(tmp_path / "POSCAR")
    assert ours.symbols == theirs.get_chemical_symbols()
    np.testing.assert_allclose(ours.cell, theirs.cell.array, atol=1e-10)
    np.testing.assert_allclose(ours.positions @ ours.cell, theirs.positions, atol=1e-10)


def test_flags_of_selective_dynamics(tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text(FORMS["selective"])
    mobile = read_poscar(tmp_path / "POSCAR").mobile
    assert mobile is not None
    assert mobile.tolist() == [[False] * 3, [True, True, False], [True] * 3]


def test_shakenbreaks_structures_are_read() -> None:
    path = FIXTURES / "Bond_Distortion_-40.0%" / "POSCAR"
    ours, theirs = read_poscar(path), read(path, format="vasp")
    assert ours.symbols == theirs.get_chemical_symbols()
    np.testing.assert_allclose(ours.positions @ ours.cell, theirs.positions, atol=1e-10)


@settings(max_examples=30)
@given(arrays(float, (3, 3), elements=st.floats(-2, 2)))
def test_written_and_read_again_is_the_same_structure(
    tmp_path_factory: pytest.TempPathFactory, positions: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("poscar") / "POSCAR"
    cell = np.array([[10.1, 0.2, 0.0], [0.0, 11.3, 0.7], [1 / 3, 0.0, 12.9]])
    mobile = np.array([[True, False, True]] * 3)
    poscar = Poscar("a", ("Cd", "Te"), (1, 2), cell, positions, mobile)
    path.write_text(format_poscar(poscar, cell=cell, positions=positions, comment="a"))
    again = read_poscar(path)
    assert np.abs(again.positions - positions).max() <= 1e-16 + np.finfo(float).eps
    assert np.abs(again.cell - cell).max() <= 1e-14
    assert again.mobile is not None
    assert (again.mobile == mobile).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("10 0 0", "10 0", "three numbers expected"),
        ("10 0 0", "-10 0 0", "triple product of the basis vectors of POSCAR is negative"),
        ("10 0 0", "0 11 0", "volume of the cell is 0"),
        ("10 0 0", "nan 0 0", "not finite"),
        ("\n1.0\n", "\n0.0\n", "scale factor '0.0'"),
        ("Cd Te\n", "", r"line 6 holds counts .*VASP 4"),
        ("Cd Te", "Cd Qq", "'Qq' is not a chemical symbol"),
        ("1 2\n", "1 3\n", "3 atom lines, 4 expected"),
        ("1 2\n", "1 2 3\n", "species Cd Te and counts 1 2 3"),
        ("0.25 0.25 0.25 Te", "x y z", "could not convert"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in FORMS["direct"]
    (tmp_path / "POSCAR").write_text(FORMS["direct"].replace(old, new, 1))
    with pytest.raises(VaspXtbStop, match=message):
        read_poscar(tmp_path / "POSCAR")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text("")
    with pytest.raises(VaspXtbStop, match="POSCAR cannot be read"):
        read_poscar(tmp_path / "POSCAR")
