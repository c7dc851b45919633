"""Frames whose every number is known, and finished runs of the stand-in in folders as groups have them."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.vasp.inputs import Poscar

from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.vasp_xtb.potcar import standin_potcar
from defect_surrogate.vasp_xtb.run import run

INCAR = "NSW = 5\nIBRION = 2\nEDIFFG = -0.0001\nEDIFF = 1E-4\n"


@pytest.fixture(scope="session")
def labelled() -> Callable[..., LabelledFrame]:
    """Makes a frame of one formula unit from its name; its random numbers depend on the name alone."""

    def make(name: str = "CdTe/v_Cd_0/Dimer/0", **changes) -> LabelledFrame:
        host, defect, label, step = name.split("/")
        composition = str(changes.pop("composition", host))
        numbers = [element.Z for element, count in Composition(composition).items() for _ in range(int(count))]
        rng = np.random.default_rng(list(name.encode()))
        stress = rng.normal(scale=0.01, size=(3, 3))
        content = {
            "last": False,
            "composition": composition,
            "source": "5e" * 32,
            "numbers": np.array(numbers),
            "positions": rng.uniform(-1, 9, size=(len(numbers), 3)),
            "cell": 8.0 * np.eye(3) + rng.normal(scale=0.1, size=(3, 3)),
            "energy": -3.0 - float(rng.uniform()),
            "forces": rng.normal(size=(len(numbers), 3)),
            "stress": stress + stress.T,
        }
        return LabelledFrame(host=host, defect=defect, label=label, step=int(step), **(content | changes))

    return make


@pytest.fixture(scope="session")
def dataset_of() -> Callable[..., Dataset]:
    """Makes a dataset of frames."""
    return lambda *frames: Dataset(
        "HSE06 (VASP)", tuple(sorted(frames, key=lambda f: (f.host, f.defect, f.label, f.step)))
    )


@pytest.fixture(scope="session")
def relaxations(labelled) -> Callable[..., list[LabelledFrame]]:
    """Makes the frames of several relaxations of one defect."""

    def make(host: str, *, defect: str = "v_Cd_0", labels: int = 2, steps: int = 5) -> list[LabelledFrame]:
        return [labelled(f"{host}/{defect}/Bond_{label}/{step}") for label in range(labels) for step in range(steps)]

    return make


@pytest.fixture
def dataset(dataset_of, relaxations) -> Dataset:
    """Two hosts, a defect and the bulk of each."""
    hosts = ("CdTe", "CdSe")
    return dataset_of(*(f for h in hosts for d in ("v_Cd_0", "bulk") for f in relaxations(h, defect=d, steps=3)))


def calculate(folder: Path, structure: Structure, *, incar: str = INCAR) -> Path:
    """Run ``vasp-xtb`` in a folder."""
    folder.mkdir(parents=True)
    poscar = Poscar(structure)
    poscar.write_file(folder / "POSCAR")
    (folder / "INCAR").write_text(incar)
    (folder / "KPOINTS").write_text("Gamma only\n0\nGamma\n1 1 1\n0 0 0\n")
    (folder / "POTCAR").write_text(standin_potcar(poscar.site_symbols))
    run(folder, console=io.StringIO())
    return folder


@pytest.fixture(scope="session")
def rock_salt() -> Structure:
    """A cube of eight atoms of NaCl in a 12 Å box."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    species = ["Na" if corner.sum() % 2 else "Cl" for corner in corners]
    cube = Structure(Lattice.cubic(12.0), species, 3.0 + 2.7 * corners, coords_are_cartesian=True)
    return cube.get_sorted_structure()


@pytest.fixture(scope="session")
def run_of_vacancy(rock_salt, tmp_path_factory) -> Path:
    """Five ionic steps of the sodium vacancy, that do not converge; not to be written to."""
    vacancy = rock_salt.copy()
    vacancy.remove_sites([0])
    return calculate(tmp_path_factory.mktemp("calculated") / "run", vacancy.perturb(0.1, seed=1))


@pytest.fixture(scope="session")
def run_of_bulk(rock_salt, tmp_path_factory) -> Path:
    """One evaluation of the cube; not to be written to."""
    return calculate(tmp_path_factory.mktemp("bulk") / "run", rock_salt, incar="NSW = 0\nIBRION = -1\n")


Place = Callable[..., Path]


@pytest.fixture
def place(tmp_path, run_of_vacancy) -> Place:
    """Copies files of a run into a folder of a tree, under their own names or others."""

    def copy(folder: str, source: Path = run_of_vacancy, **names: str) -> Path:
        target = tmp_path / "tree" / folder
        target.mkdir(parents=True, exist_ok=True)
        for name, kept in (names or {"vasprun": "vasprun.xml", "OUTCAR": "OUTCAR"}).items():
            (target / kept).write_bytes((source / ("vasprun.xml" if name == "vasprun" else name)).read_bytes())
        return target

    return copy


@pytest.fixture
def tree(tmp_path) -> Path:
    return tmp_path / "tree"
