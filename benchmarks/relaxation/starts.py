"""What is relaxed: the fifteen sampling structures of six vacancies in five hosts that the model has never seen.

They are the starts of the full reference searches in benchmarks/family/data: 53 to 71 atoms, cells relaxed with GFN1-xTB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from defect_surrogate.archive import Archive, unpack

ROOT = Path(__file__).parents[2]
BUNDLES = ROOT / "benchmarks" / "family" / "data"
RUNS = ROOT / "runs" / "relaxation"
MODEL = ROOT / "models" / "gfn1-defects"
HOSTS = ("CdTe", "ZnSe", "SnSe", "AgGaSe2", "SbSeI")
LEARNT = ("AgGaS2", "BiSeI", "CdS", "CdSe", "CuGaSe2", "HgTe", "SbSeBr", "SnS", "SnSe2", "ZnS", "ZnTe", "ZrS2")
"""Hosts that the model was trained on; seven starts of each of their vacancies are in the bundles."""


@dataclass(frozen=True)
class Defect:
    """A vacancy and its starts by label."""

    name: str
    site: NDArray[np.float64]
    starts: dict[str, Structure]


def defects(hosts: Sequence[str] = HOSTS) -> list[Defect]:
    """Read them from the bundles, unpacked once."""
    found = []
    for host in hosts:
        archive = Archive(RUNS / "archives" / host)
        unpack(BUNDLES / f"{host}.tar.xz", archive)
        starts: dict[str, dict[str, Structure]] = {}
        supercell = None
        for record in archive.records():
            _, defect, label, _ = record.name.split("/")
            if (defect, label) == ("bulk", "Host"):
                supercell = record.relaxation.structure
            elif defect != "bulk" and "_from_" not in label:
                starts.setdefault(defect, {})[label] = record.start
        assert supercell is not None
        for defect, labelled in starts.items():
            ideal = labelled["Unperturbed"]
            distances = supercell.lattice.get_all_distances(supercell.frac_coords, ideal.frac_coords)
            vacant = int(distances.min(axis=1).argmax())
            found.append(Defect(f"{host} {defect}", supercell.frac_coords[vacant], labelled))
    return found


if __name__ == "__main__":
    for one in defects():
        print(one.name, len(one.starts), len(one.starts["Unperturbed"]), one.site)
