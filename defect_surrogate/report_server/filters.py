"""Which vacancies of all runs are shown, in which order.

Results of different levels of theory are never ranked together: any order is an order within each level.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from defect_surrogate.report_server.vacancies import VacancyRow


def _known_first(value: float | None) -> tuple[bool, float]:
    return (value is None, value or 0.0)


SORTS: dict[str, tuple[str, Callable[[VacancyRow], tuple[Any, ...]]]] = {
    "name": ("host and vacancy", lambda row: ()),
    "lowering": ("energy lowering, deepest first", lambda row: _known_first(row.energy_lowering)),
    "saved": ("DFT saved, most first", lambda row: _known_first(None if row.dft_saved is None else -row.dft_saved)),
    "failures": ("failures, most first", lambda row: (-row.failures,)),
    "run": ("run", lambda row: row.run),
}
"""Orders by name: what it is called, and its sort key; equal rows stand by host, vacancy and run."""


@dataclass(frozen=True)
class VacancyFilter:
    """Which vacancies are shown, in which order.

    Attributes
    ----------
    text
        Part of host/vacancy, in upper or lower case.
    element, campaign, level_of_theory
        What it has to be; empty for any.
    reconstructed
        Only those that reconstruct.
    failed
        Only those with failures.
    sort
        A key of ``SORTS``.
    """

    text: str = ""
    element: str = ""
    campaign: str = ""
    level_of_theory: str = ""
    reconstructed: bool = False
    failed: bool = False
    sort: str = "name"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "VacancyFilter":
        """Read the query of an address; what is not understood is left out.

        Parameters
        ----------
        query
            Values of the form, by name.

        Returns
        -------
        VacancyFilter
            The filter.
        """
        return cls(
            text=query.get("text", "").strip(),
            element=query.get("element", ""),
            campaign=query.get("campaign", ""),
            level_of_theory=query.get("level", ""),
            reconstructed=query.get("reconstructed") == "yes",
            failed=query.get("failed") == "yes",
            sort=query.get("sort", "") if query.get("sort", "") in SORTS else "name",
        )

    @property
    def query(self) -> str:
        """Write it as the query of an address."""
        values = {
            "text": self.text,
            "element": self.element,
            "campaign": self.campaign,
            "level": self.level_of_theory,
            "reconstructed": "yes" if self.reconstructed else "",
            "failed": "yes" if self.failed else "",
            "sort": "" if self.sort == "name" else self.sort,
        }
        return urlencode({name: value for name, value in values.items() if value}, errors="replace")

    def selected(self, rows: Iterable[VacancyRow]) -> list[VacancyRow]:
        """Select rows and put them in order, those of one level of theory together, the stand-in after DFT.

        Parameters
        ----------
        rows
            Of all runs.

        Returns
        -------
        list of VacancyRow
            The selected ones.
        """
        key = SORTS[self.sort][1]
        return sorted(
            filter(self._takes, rows),
            key=lambda row: (
                row.level_of_theory is None,
                row.is_stand_in,
                row.level_of_theory or "",
                *key(row),
                row.host,
                row.vacancy,
                row.run,
            ),
        )

    def _takes(self, row: VacancyRow) -> bool:
        return (
            self.text.casefold() in row.name.casefold()
            and self.element in ("", row.element)
            and self.campaign in ("", row.campaign)
            and self.level_of_theory in ("", row.level_of_theory)
            and (row.reconstructs or not self.reconstructed)
            and (row.failures > 0 or not self.failed)
        )
