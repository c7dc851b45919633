"""Which finished units of the archive are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

LEVELS = ("surrogate", "reference")

CONVERGED = {"yes": True, "no": False}


@dataclass(frozen=True)
class UnitFilter:
    """Which units are shown.

    Attributes
    ----------
    host, defect, level
        What it has to be; empty for any.
    converged
        ``yes``, ``no``, or empty for any.
    """

    host: str = ""
    defect: str = ""
    level: str = ""
    converged: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "UnitFilter":
        """Read the query of an address; what is not understood is left out.

        Parameters
        ----------
        query
            Values of the form, by name.

        Returns
        -------
        UnitFilter
            The filter.
        """
        level, converged = query.get("level", ""), query.get("converged", "")
        return cls(
            host=query.get("host", "").strip(),
            defect=query.get("defect", "").strip(),
            level=level if level in LEVELS else "",
            converged=converged if converged in CONVERGED else "",
        )

    @property
    def query(self) -> str:
        """Write it as the query of an address."""
        values = {"host": self.host, "defect": self.defect, "level": self.level, "converged": self.converged}
        return urlencode({name: value for name, value in values.items() if value}, errors="replace")

    @property
    def selection(self) -> dict[str, Any]:
        """What the index is to be asked for."""
        return {
            "host": self.host or None,
            "defect": self.defect or None,
            "level": self.level or None,
            "converged": CONVERGED.get(self.converged),
        }
