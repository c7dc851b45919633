"""The reference pages are those of the code."""

from pathlib import Path

import pytest

from flows.documentation import pages

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", pages())
def test_the_page_is_up_to_date(name):
    assert (ROOT / "docs" / "reference" / name).read_text() == pages()[name]
