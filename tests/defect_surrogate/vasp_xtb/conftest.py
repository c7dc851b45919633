"""Small calculations that vasp-xtb is tried on: a water molecule in a box, and a folder with VASP's four input files."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

from defect_surrogate.vasp_xtb.potcar import standin_potcar
from defect_surrogate.vasp_xtb.run import run

GAMMA = "Gamma only\n0\nGamma\n1 1 1\n0 0 0\n"

WriteInputs = Callable[..., Path]


@pytest.fixture
def water() -> Atoms:
    """A water molecule, off its equilibrium, in a cubic box of 12 Å; O first."""
    atoms = molecule("H2O", vacuum=5.0)
    atoms.set_cell([12.0, 12.0, 12.0])
    atoms.pbc = True
    atoms.positions[1] += (0.0, 0.05, -0.08)
    return atoms


@pytest.fixture
def write_inputs(tmp_path: Path) -> WriteInputs:
    """Write POSCAR, INCAR, KPOINTS and POTCAR of some atoms, in their order, and return the folder."""

    def write_folder(atoms: Atoms, *, incar: str = "", folder: str = "calculation") -> Path:
        directory = tmp_path / folder
        directory.mkdir(parents=True)
        write(directory / "POSCAR", atoms, format="vasp", direct=True)
        symbols = (directory / "POSCAR").read_text().splitlines()[5].split()
        (directory / "INCAR").write_text(incar)
        (directory / "KPOINTS").write_text(GAMMA)
        (directory / "POTCAR").write_text(standin_potcar(symbols))
        return directory

    return write_folder


@pytest.fixture
def run_in() -> Callable[[Path], str]:
    """Run in a folder and return what vasp-xtb said."""

    def run_folder(directory: Path) -> str:
        console = io.StringIO()
        run(directory, console=console)
        return console.getvalue()

    return run_folder
