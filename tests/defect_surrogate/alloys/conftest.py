"""Alloys of real crystals: zinc-blende CdTe and CdSe, chalcopyrite AgGaS2 and AgInS2."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from defect_surrogate.alloys import SweepSettings, make_alloy, read_end_members


def zincblende(cation, anion, length):
    return Structure.from_spacegroup("F-43m", Lattice.cubic(length), [cation, anion], [[0, 0, 0], [0.25] * 3])


def chalcopyrite(metal, a, c, x):
    cell = Lattice.tetragonal(a, c)
    return Structure.from_spacegroup("I-42d", cell, ["Ag", metal, "S"], [[0, 0, 0], [0, 0, 0.5], [x, 0.25, 0.125]])


def stibnite(anion):
    """Sb2S3 (doi:10.1524/zkri.1972.135.16.308), two kinds of Sb and three of S."""
    places = [
        (0.0294, 0.25, 0.6741),
        (0.3505, 0.25, 0.4640),
        (0.0496, 0.25, 0.1230),
        (0.3751, 0.25, 0.0614),
        (0.2083, 0.25, 0.8085),
    ]
    cell = Lattice.orthorhombic(11.311, 3.836, 11.228)
    return Structure.from_spacegroup("Pnma", cell, ["Sb", "Sb", anion, anion, anion], places)


def tilted(metal, length):
    """A perovskite with its octahedra turned about c by 8 degrees, I4/mcm: twice the primitive cell of the cubic one."""
    cell = Lattice.tetragonal(length * np.sqrt(2), 2 * length)
    places = [(0, 0.5, 0.25), (0, 0, 0), (0, 0, 0.25), (0.285, 0.785, 0)]
    return Structure.from_spacegroup("I4/mcm", cell, ["Sr", metal, "O", "O"], places)


CRYSTALS = {
    "Sb2S3": stibnite("S"),
    "Sb2Se3": stibnite("Se"),
    "CdTe": zincblende("Cd", "Te", 6.48),
    "CdSe": zincblende("Cd", "Se", 6.08),
    "CdS": zincblende("Cd", "S", 5.83),
    "ZnTe": zincblende("Zn", "Te", 6.10),
    "MgTe": zincblende("Mg", "Te", 6.42),
    "HgTe": zincblende("Hg", "Te", 6.46),
    "BeTe": zincblende("Be", "Te", 5.62),
    "CdTe-rock-salt": Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.9), ["Cd", "Se"], [[0, 0, 0], [0.5] * 3]),
    "CdSe-wurtzite": Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(4.30, 7.01), ["Cd", "Se"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.376]]
    ),
    "CdS-wurtzite": Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(4.14, 6.72), ["Cd", "S"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.376]]
    ),
    "SrTiO3": Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0.5] * 3, [0, 0, 0], [0.5, 0, 0]]
    ),
    "SrZrO3": tilted("Zr", 4.14),
    "AgGaS2": chalcopyrite("Ga", 5.757, 10.304, 0.291),
    "AgInS2": chalcopyrite("In", 5.872, 11.214, 0.250),
}
"""Lattice constants at room temperature (Madelung, doi:10.1007/978-3-642-18865-7)."""


@pytest.fixture(scope="session")
def crystals():
    """Unit cells, by name."""
    return CRYSTALS


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A file of each crystal, by name."""
    folder = tmp_path_factory.mktemp("crystals")
    for name, structure in CRYSTALS.items():
        structure.to(str(folder / f"{name}.cif"), fmt="cif")
    turned = CRYSTALS["CdSe"].get_primitive_structure()
    turned.make_supercell([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # left-handed
    turned.rotate_sites()
    turned.to(str(folder / "CdSe-turned.vasp"), fmt="poscar")
    return folder


@pytest.fixture(scope="session")
def settings(files):
    """Settings of a sweep over some end members: names, the sublattice and further keys of ``alloy``."""

    def make(*names, sublattice, compositions, **alloy):
        paths = [str(next(files.glob(f"{name}.*"))) for name in names]
        return SweepSettings.model_validate(
            {
                "alloy": {"end_members": paths, "sublattice": sublattice, "compositions": compositions} | alloy,
                "host": {"force_cubic": True, "min_image_distance": 10.0},
            }
        )

    return make


@pytest.fixture(scope="session")
def cdsete_settings(settings):
    return settings("CdTe", "CdSe", sublattice="Te", compositions=[0.0, 0.25, 0.5, 1.0])


@pytest.fixture(scope="session")
def cdsete(cdsete_settings):
    """CdSe(x)Te(1-x) in 64 atoms."""
    return make_alloy(read_end_members(cdsete_settings.alloy, cdsete_settings.host), "Te")


@pytest.fixture(scope="session")
def shells():
    """Distances of each site to all others, sorted, which know nothing of how a crystal is turned."""
    return lambda structure: np.sort(np.round(structure.distance_matrix, 6), axis=1)
