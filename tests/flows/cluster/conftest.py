"""The profiles that come with the project."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def templates() -> Path:
    """Folder of the profiles."""
    return ROOT / "deployments" / "clusters"
