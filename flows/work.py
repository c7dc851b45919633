"""What a search hands out to be relaxed, and how: it does not know who relaxes.

A Dask worker imports this, so it stays light: a reference job is to leave its memory to VASP.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from defect_surrogate.archive import Archive
from defect_surrogate.relaxation import Relaxation, Unit
from defect_surrogate.vasp import ReferenceMethod


@dataclass(frozen=True)
class Work:
    """A unit and, at the reference level, how VASP is run for it.

    Attributes
    ----------
    unit
        What is to be relaxed.
    method
        Inputs of VASP; None at the surrogate level.
    """

    unit: Unit
    method: ReferenceMethod | None = None


Result = tuple[str, Relaxation | None]
"""What became of a unit: its name, and its relaxation; None if it broke."""

Relax = Callable[[Sequence[Work]], Iterator[Result]]
"""Begins to relax units, and yields what becomes of each, as it ends."""


def collected(results: Iterable[Result]) -> dict[str, Relaxation]:
    """Wait for results.

    Parameters
    ----------
    results
        Of a call of a relaxer.

    Returns
    -------
    dict of str to Relaxation
        Of the units that have one, by name.
    """
    return {name: relaxation for name, relaxation in results if relaxation is not None}


def looked_up(archive: Archive) -> Relax:
    """Return what takes results from an archive; nothing is computed.

    Parameters
    ----------
    archive
        Finished units.

    Returns
    -------
    callable
        Looks works up.
    """
    return lambda works: ((work.unit.name, archive.find(work.unit)) for work in works)
