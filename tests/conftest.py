"""What several test files need: the shared real data, and small real hosts."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")

import pytest
from pymatgen.core import Lattice, Structure

from defect_surrogate.hosts import Host
from defect_surrogate.relaxation import structure_digest
from tests.crystals import cubane_clusters

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that processes side by side end together."""
    items.sort(key=lambda item: "services" not in item.path.parts)


@pytest.fixture(scope="session")
def hse_search() -> Path:
    """Finished HSE06 search of the neutral Cd vacancy in CdTe (ShakeNBreak's test data)."""
    path = ROOT.parent / "shared" / "fixtures" / "CdTe_v_Cd_0_HSE06"
    if not path.is_dir():
        pytest.fail(f"the real DFT data is not beside the checkout: {path} is missing")
    return path


@pytest.fixture(scope="session")
def zincblende_cdte() -> Structure:
    """Primitive CdTe at its room-temperature lattice constant, 6.48 Å (doi:10.1007/978-3-642-18865-7)."""
    cubic = Structure.from_spacegroup("F-43m", Lattice.cubic(6.48), ["Cd", "Te"], [[0, 0, 0], [0.25] * 3])
    return cubic.get_primitive_structure()


@pytest.fixture(scope="session")
def cluster_crystal() -> Structure:
    """The crystal of most tests: eight atoms."""
    return cubane_clusters()


@pytest.fixture(scope="session")
def cluster_host(cluster_crystal: Structure) -> Host:
    """The cluster crystal as a host that is its own supercell."""
    return Host(
        name="Cd4Te4",
        unit_cell=cluster_crystal,
        supercell=cluster_crystal,
        oxidation_states={"Cd": 2.0, "Te": -2.0},
        source="cluster",
        digest=structure_digest(cluster_crystal),
    )
