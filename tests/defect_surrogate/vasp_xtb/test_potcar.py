"""POTCAR: the stand-in as pymatgen reads it, and what is taken from a POTCAR."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from pymatgen.io.vasp import Potcar
from pymatgen.io.vasp.inputs import UnknownPotcarWarning
from tblite.interface import ELEMENT_SYMBOLS, Calculator

from defect_surrogate.vasp_xtb.errors import VaspXtbStop
from defect_surrogate.vasp_xtb.potcar import VALENCE_ELECTRONS, read_potcar, standin_potcar


@pytest.mark.parametrize("method", ["GFN1-xTB", "GFN2-xTB"])
def test_valence_is_tblites(method: str) -> None:
    for number, valence in enumerate(VALENCE_ELECTRONS, start=1):
        log: list[str] = []
        calculator = Calculator(method, np.array([number]), np.zeros((1, 3)), color=False, logger=log.append)
        calculator.set("verbosity", 2)
        calculator.singlepoint()
        electrons = next(float(line.split()[3]) for line in log if "number of electrons" in line)
        assert electrons == valence, ELEMENT_SYMBOLS[number - 1]


def test_pymatgen_reads_the_standin() -> None:
    with pytest.warns(UnknownPotcarWarning, match="Cd is not known"):
        potcar = Potcar.from_str(standin_potcar(["Cd", "Te", "Ga_d"]))
    assert potcar.symbols == ["Cd", "Te", "Ga_d"]
    assert [single.element for single in potcar] == ["Cd", "Te", "Ga"]
    assert [single.nelectrons for single in potcar] == [2.0, 6.0, 3.0]
    assert [single.potential_type for single in potcar] == ["PAW"] * 3
    assert potcar.functional == "PBE"
    assert all("STANDIN-XTB" in single.TITEL for single in potcar)
    assert potcar[0].ENMAX > potcar[0].ENMIN > 0


def test_what_pymatgen_writes_is_read(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPotcarWarning)
        Potcar.from_str(standin_potcar(["Cd", "Te"])).write_file(tmp_path / "POTCAR")
    potentials = read_potcar(tmp_path / "POTCAR")
    assert [(p.element, p.zval, p.titel) for p in potentials] == [
        ("Cd", 2.0, "PAW_PBE Cd STANDIN-XTB"),
        ("Te", 6.0, "PAW_PBE Te STANDIN-XTB"),
    ]


def test_vasps_own_headers_are_read(tmp_path: Path) -> None:
    (tmp_path / "POTCAR").write_text(
        "  PAW_PBE Zr_sv 04Jan2005\n 12.0\n   VRHFIN =r: 4s4p5s4d\n   TITEL  = PAW_PBE Zr_sv 04Jan2005\n"
        "   POMASS =   91.224; ZVAL   =   12.000    mass and valenz\n End of Dataset\n"
    )
    (potential,) = read_potcar(tmp_path / "POTCAR")
    assert (potential.element, potential.zval, potential.header) == ("Zr", 12.0, "PAW_PBE Zr_sv 04Jan2005")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no data set"),
        ("TITEL = PAW Cd\n VRHFIN =Cd:\n", "data set 1 has no ZVAL"),
        ("TITEL = PAW Cd\n VRHFIN =Cd:\n ZVAL = many\n", "ZVAL = 'many'"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "POTCAR").write_text(text)
    with pytest.raises(VaspXtbStop, match=message):
        read_potcar(tmp_path / "POTCAR")


@pytest.mark.parametrize("symbol", ["U", "Qq", ""])
def test_no_standin_beyond_radon(symbol: str) -> None:
    with pytest.raises(ValueError, match=f"'{symbol}'"):
        standin_potcar([symbol])
