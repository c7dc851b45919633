"""Long tables in pages."""

from collections.abc import Mapping
from dataclasses import dataclass

PAGE_LENGTH = 100


@dataclass(frozen=True)
class Paging:
    """Which page of a table is shown.

    Attributes
    ----------
    total
        Number of rows of the table.
    number
        Number of the page, from 1.
    query
        Query of an address that selects these rows, without the page.
    """

    total: int
    number: int
    query: str

    @classmethod
    def of(cls, query: Mapping[str, str], *, total: int, selection: str) -> "Paging":
        """Read the page that is asked for; one that there is not becomes the nearest.

        Parameters
        ----------
        query
            Of the request.
        total
            Number of rows.
        selection
            Query of an address that selects these rows.

        Returns
        -------
        Paging
            The page.
        """
        asked = query.get("page", "1")
        number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 1
        return cls(total, min(max(number, 1), max(-(-total // PAGE_LENGTH), 1)), selection)

    @property
    def pages(self) -> int:
        """Number of pages."""
        return max(-(-self.total // PAGE_LENGTH), 1)

    @property
    def offset(self) -> int:
        """Index of the first row."""
        return (self.number - 1) * PAGE_LENGTH

    def query_of(self, number: int) -> str:
        """Write the query of the address of a page."""
        return f"{self.query}&page={number}" if self.query else f"page={number}"
