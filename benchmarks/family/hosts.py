"""Host crystals of the training family: published prototypes and lattice constants, written as CIF files.

    python benchmarks/family/hosts.py runs/family/hosts

Lattice constants (Å) and free coordinates are starting points, since every host is relaxed at the reference level before use.
Sources: tetrahedral, rock-salt and layered compounds: Madelung, Semiconductors: Data Handbook, Springer 2004;
GeS type: Wiedemeier and von Schnering, Z. Kristallogr. 148, 295 (1978); stibnite and its kin: the AFLOW library
(doi:10.1016/j.commatsci.2017.01.017); SbSI type: Kikuchi et al., J. Phys. Soc. Jpn. 23, 337 (1967), lattice constants
of its kin: Nitsche and Merz, J. Phys. Chem. Solids 13, 154 (1960).
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Lattice, Structure

Coordinates = tuple[float, float, float]


@dataclass(frozen=True)
class Prototype:
    """A space group and the Wyckoff positions that the elements of a compound occupy, in order."""

    space_group: str
    system: str
    positions: tuple[tuple[int, Coordinates], ...]


THIRDS = (1 / 3, 2 / 3)

PROTOTYPES = {
    "zinc blende": Prototype("F-43m", "cubic", ((0, (0, 0, 0)), (1, (0.25, 0.25, 0.25)))),
    "rock salt": Prototype("Fm-3m", "cubic", ((0, (0, 0, 0)), (1, (0.5, 0.5, 0.5)))),
    "wurtzite": Prototype("P6_3mc", "hexagonal", ((0, (*THIRDS, 0)), (1, (*THIRDS, 0.375)))),
    "chalcopyrite": Prototype("I-42d", "tetragonal", ((0, (0, 0, 0)), (1, (0, 0, 0.5)), (2, (0.25, 0.25, 0.125)))),
    "CdI2": Prototype("P-3m1", "hexagonal", ((0, (0, 0, 0)), (1, (*THIRDS, 0.25)))),
    "GeS": Prototype("Pnma", "orthorhombic", ((0, (0.1198, 0.25, 0.1194)), (1, (0.8508, 0.25, 0.4793)))),
    "Sb2S3": Prototype(
        "Pnma",
        "orthorhombic",
        (
            (0, (0.02937, 0.75, 0.82602)),
            (0, (0.64939, 0.25, 0.96397)),
            (1, (0.29220, 0.25, 0.19181)),
            (1, (0.45040, 0.25, 0.87700)),
            (1, (0.62460, 0.25, 0.56110)),
        ),
    ),
    "SbSI": Prototype(
        "Pnma", "orthorhombic", ((0, (0.119, 0.25, 0.876)), (1, (0.840, 0.25, 0.950)), (2, (0.508, 0.25, 0.172)))
    ),
    "BiTeI": Prototype("P3m1", "hexagonal", ((0, (0, 0, 0)), (1, (2 / 3, 1 / 3, 0.74)), (2, (*THIRDS, 0.31)))),
    "GaS": Prototype("P6_3/mmc", "hexagonal", ((0, (*THIRDS, 0.171)), (1, (*THIRDS, 0.602)))),
}
"""The SbSI type is given in Pnam by its source; here its axes are those of Pnma: (a, c, b), x, z, -y."""

SUPERCELLS = {
    "wurtzite": (3, 3, 2),
    "chalcopyrite": (2, 2, 1),
    "CdI2": (3, 3, 2),
    "GeS": (1, 3, 3),
    "Sb2S3": (1, 3, 1),
    "SbSI": (2, 3, 1),
    "BiTeI": (3, 3, 2),
    "GaS": (3, 3, 1),
}
"""Multiples of the axes. The smallest supercells of these are skewed; the stand-in, which samples Γ only, would shear them."""

COMPOUNDS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "ZnS": ("zinc blende", ("Zn", "S"), (5.409,)),
    "ZnSe": ("zinc blende", ("Zn", "Se"), (5.668,)),
    "ZnTe": ("zinc blende", ("Zn", "Te"), (6.101,)),
    "CdS": ("wurtzite", ("Cd", "S"), (4.136, 6.713)),
    "CdSe": ("zinc blende", ("Cd", "Se"), (6.077,)),
    "CdTe": ("zinc blende", ("Cd", "Te"), (6.482,)),
    "HgSe": ("zinc blende", ("Hg", "Se"), (6.085,)),
    "HgTe": ("zinc blende", ("Hg", "Te"), (6.461,)),
    "MgTe": ("wurtzite", ("Mg", "Te"), (4.548, 7.390)),
    "MgSe": ("rock salt", ("Mg", "Se"), (5.463,)),
    "MgS": ("rock salt", ("Mg", "S"), (5.203,)),
    "CaS": ("rock salt", ("Ca", "S"), (5.695,)),
    "CaSe": ("rock salt", ("Ca", "Se"), (5.916,)),
    "CaTe": ("rock salt", ("Ca", "Te"), (6.348,)),
    "PbS": ("rock salt", ("Pb", "S"), (5.936,)),
    "PbSe": ("rock salt", ("Pb", "Se"), (6.117,)),
    "PbTe": ("rock salt", ("Pb", "Te"), (6.462,)),
    "SnTe": ("rock salt", ("Sn", "Te"), (6.313,)),
    "CuGaS2": ("chalcopyrite", ("Cu", "Ga", "S"), (5.351, 10.484)),
    "CuGaSe2": ("chalcopyrite", ("Cu", "Ga", "Se"), (5.614, 11.032)),
    "CuInS2": ("chalcopyrite", ("Cu", "In", "S"), (5.523, 11.141)),
    "CuInSe2": ("chalcopyrite", ("Cu", "In", "Se"), (5.784, 11.616)),
    "AgGaS2": ("chalcopyrite", ("Ag", "Ga", "S"), (5.757, 10.304)),
    "AgGaSe2": ("chalcopyrite", ("Ag", "Ga", "Se"), (5.985, 10.904)),
    "AgInS2": ("chalcopyrite", ("Ag", "In", "S"), (5.876, 11.201)),
    "AgInSe2": ("chalcopyrite", ("Ag", "In", "Se"), (6.102, 11.69)),
    "SnS2": ("CdI2", ("Sn", "S"), (3.648, 5.899)),
    "SnSe2": ("CdI2", ("Sn", "Se"), (3.811, 6.141)),
    "ZrS2": ("CdI2", ("Zr", "S"), (3.662, 5.813)),
    "ZrSe2": ("CdI2", ("Zr", "Se"), (3.770, 6.138)),
    "HfS2": ("CdI2", ("Hf", "S"), (3.635, 5.837)),
    "HfSe2": ("CdI2", ("Hf", "Se"), (3.748, 6.159)),
    "GeS": ("GeS", ("Ge", "S"), (10.470, 3.641, 4.299)),
    "GeSe": ("GeS", ("Ge", "Se"), (10.826, 3.833, 4.388)),
    "SnS": ("GeS", ("Sn", "S"), (11.200, 3.987, 4.334)),
    "SnSe": ("GeS", ("Sn", "Se"), (11.502, 4.153, 4.450)),
    "Sb2S3": ("Sb2S3", ("Sb", "S"), (11.311, 3.836, 11.229)),
    "Sb2Se3": ("Sb2S3", ("Sb", "Se"), (11.794, 3.986, 11.648)),
    "Bi2S3": ("Sb2S3", ("Bi", "S"), (11.305, 3.981, 11.147)),
    "SbSI": ("SbSI", ("Sb", "S", "I"), (8.520, 4.130, 10.130)),
    "SbSBr": ("SbSI", ("Sb", "S", "Br"), (8.260, 3.970, 9.790)),
    "SbSeI": ("SbSI", ("Sb", "Se", "I"), (8.700, 4.150, 10.410)),
    "SbSeBr": ("SbSI", ("Sb", "Se", "Br"), (8.300, 3.950, 10.200)),
    "BiSI": ("SbSI", ("Bi", "S", "I"), (8.460, 4.140, 10.150)),
    "BiSBr": ("SbSI", ("Bi", "S", "Br"), (8.100, 4.020, 9.700)),
    "BiSCl": ("SbSI", ("Bi", "S", "Cl"), (7.700, 4.000, 9.870)),
    "BiSeI": ("SbSI", ("Bi", "Se", "I"), (8.710, 4.190, 10.540)),
    "BiSeBr": ("SbSI", ("Bi", "Se", "Br"), (8.180, 4.110, 10.470)),
    "BiTeI": ("BiTeI", ("Bi", "Te", "I"), (4.339, 6.854)),
    "BiTeBr": ("BiTeI", ("Bi", "Te", "Br"), (4.267, 6.487)),
    "BiSeCl": ("SbSI", ("Bi", "Se", "Cl"), (7.980, 4.090, 10.200)),
    "CuAlS2": ("chalcopyrite", ("Cu", "Al", "S"), (5.334, 10.444)),
    "CuAlSe2": ("chalcopyrite", ("Cu", "Al", "Se"), (5.606, 10.901)),
    "AgAlS2": ("chalcopyrite", ("Ag", "Al", "S"), (5.707, 10.280)),
    "AgGaTe2": ("chalcopyrite", ("Ag", "Ga", "Te"), (6.301, 11.96)),
    "CuGaTe2": ("chalcopyrite", ("Cu", "Ga", "Te"), (6.013, 11.934)),
    "SrS": ("rock salt", ("Sr", "S"), (6.024,)),
    "BaS": ("rock salt", ("Ba", "S"), (6.387,)),
    "GaS": ("GaS", ("Ga", "S"), (3.587, 15.492)),
    "GaSe": ("GaS", ("Ga", "Se"), (3.752, 15.950)),
    "InSe": ("GaS", ("In", "Se"), (4.005, 16.640)),
}
"""Compound → prototype, elements in the order of its positions, and lattice constants in Å."""


def crystal(compound: str) -> Structure:
    """Build a compound from its prototype."""
    name, elements, lengths = COMPOUNDS[compound]
    prototype = PROTOTYPES[name]
    lattice = getattr(Lattice, prototype.system)(*lengths)
    species = [elements[index] for index, _ in prototype.positions]
    return Structure.from_spacegroup(
        prototype.space_group, lattice, species, [position for _, position in prototype.positions]
    )


def main(folder: Path) -> None:
    """Write one CIF file for each compound."""
    folder.mkdir(parents=True, exist_ok=True)
    for compound, (prototype, _, _) in COMPOUNDS.items():
        structure = crystal(compound) * SUPERCELLS.get(prototype, (1, 1, 1))
        structure.to(str(folder / f"{compound}.cif"), symprec=None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
