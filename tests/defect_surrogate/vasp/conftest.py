"""A finished water relaxation, a POTCAR library that looks like VASP's, and executables that misbehave."""

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.core import SETTINGS, Lattice, Structure

from defect_surrogate.relaxation import Relaxation
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import reference_method, relax_with_vasp
from defect_surrogate.vasp_xtb.potcar import standin_potcar

FakeExecutable = Callable[[str, str], list[str]]


@pytest.fixture(scope="session")
def water() -> Structure:
    """Bent and stretched H2O in a 10 Å box, the oxygen between the hydrogens: not grouped by element."""
    fractional = [[0.58, 0.5, 0.5], [0.5, 0.5, 0.5], [0.48, 0.6, 0.5]]
    return Structure(Lattice.cubic(10.0), ["H", "O", "H"], fractional)


@pytest.fixture(scope="session")
def finished(water: Structure, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Relaxation]:
    """A relaxation of water by the real vasp-xtb, and its directory; not to be written to."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    method = reference_method(water, ReferenceSettings(), cell="defect")
    return directory, relax_with_vasp(water, method, directory=directory)


@pytest.fixture
def fake_executable(tmp_path: Path) -> FakeExecutable:
    """Make an executable of a given name from a shell script."""

    def make(name: str, script: str) -> list[str]:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return [str(path)]

    return make


@pytest.fixture
def vasp_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A POTCAR library for H, O, Cd and Te whose titles are VASP's; the content is the stand-in's."""
    library = tmp_path / "potcars"
    for symbol in ("H", "O", "Cd", "Te"):
        folder = library / "POT_GGA_PAW_PBE" / symbol
        folder.mkdir(parents=True)
        (folder / "POTCAR").write_text(standin_potcar([symbol]).replace("STANDIN-XTB", "06Sep2000"))
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(library))
    return library


@pytest.fixture
def finished_vasp(finished: tuple[Path, Relaxation], tmp_path: Path) -> Path:
    """The finished relaxation with the names in vasprun.xml and OUTCAR replaced by those VASP would write."""
    directory = tmp_path / "finished_vasp"
    directory.mkdir()
    for source in finished[0].iterdir():
        text = source.read_text().replace("STANDIN-XTB", "06Sep2000")
        text = text.replace("vasp-xtb: a GFN-xTB stand-in, not VASP", "vasp")
        text = text.replace("GFN1-xTB by tblite 0.8.0", "")
        text = re.sub('name="version"> [0-9.]+<', 'name="version"> 6.4.2<', text)
        if source.name == "OUTCAR":
            text = " vasp.6.4.2 20Jul23 (build) gamma-only\n" + text
        if source.name == "vasprun.xml":
            hybrid = '<i type="logical" name="LHFCALC"> T</i><i name="HFSCREEN"> 0.208</i><i name="AEXX"> 0.25</i>'
            text = re.sub(r"<parameters>", f"<parameters>{hybrid}", text)
        (directory / source.name).write_text(text)
    return directory
