"""The page of the profile is that of the code."""

from pathlib import Path

from flows.cluster.documentation import PAGE_NAME, profile_page

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date():
    assert (ROOT / "docs" / "reference" / PAGE_NAME).read_text() == profile_page()
