"""A search so small that it can be run, killed and resumed for real."""

import pytest
import yaml
from pymatgen.core import Structure
from tiny_search import SETTINGS, Search


@pytest.fixture(scope="module")
def tiny_search(tmp_path_factory: pytest.TempPathFactory, cluster_crystal: Structure) -> Search:
    """A search that has not been started."""
    root = tmp_path_factory.mktemp("search")
    host, settings = root / "CdTe_POSCAR", root / "search.yaml"
    cluster_crystal.to(str(host), fmt="poscar")
    settings.write_text(yaml.safe_dump(SETTINGS))
    return Search(root / "run", host, settings, root / "log")
