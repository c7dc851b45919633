"""Of which host a defective supercell is, worked out from its atoms and the name of the defect.

Most groups keep the bulk calculation elsewhere, but a point defect gives its host away: put back what its name says was taken,
take away what was added, and the counts of the elements share a large divisor, the number of formula units. Names are those of
doped (``v_Cd``, ``Te_Cd``, ``Cd_i``; doi:10.21105/joss.06433) and of earlier pymatgen (``vac_1_Cd``, ``as_1_Te_on_Cd``,
``inter_1_Cd``).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pymatgen.core import Composition, Element

from defect_surrogate.dataset.frames import BULK

LEAST_FORMULA_UNITS = 2
"""In the supercell. Where the counts have no common divisor, as in some alloys, the formula is no evidence for the name."""

LEAST_ROUNDED_UNITS = 8
"""In the supercell, where the formula is found by rounding: of few units, any counts are nearly a multiple. Our choice."""

LARGEST_DIFFERENCE = 2
"""Atoms that a point defect changes at most: an antisite takes one and adds one."""

_VACANCIES = ("v", "va", "vac")
_INTERSTITIALS = ("i", "int", "inter")
_SUBSTITUTIONS = ("as", "sub", "subst")
_NUMBER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Exchange:
    """What a point defect does to the host.

    Attributes
    ----------
    removed, added
        Symbols; None where nothing is taken, or added. At least one is a symbol.
    """

    removed: str | None
    added: str | None


def exchange_of(defect: str, *, vanadium: bool = False) -> Exchange | None:
    """Read what a defect's name says.

    Parameters
    ----------
    defect
        Name, with or without site and charge, e.g. ``v_Cd_0``, ``Te_Cd_C3v_+2``, ``as_1_Te_on_Cd_0``.
    vanadium
        Whether a capital V is the element; otherwise it is a vacancy.

    Returns
    -------
    Exchange or None
        None if the name says nothing of a vacancy, an interstitial or a substitution.
    """
    words = [word for word in defect.split("_") if not _NUMBER.fullmatch(word)]
    kind, first, second = [*words, "", "", ""][:3]
    if kind.lower() in _VACANCIES and not (kind == "V" and vanadium):
        return Exchange(removed=first, added=None) if _is_element(first) else None
    if kind.lower() in _INTERSTITIALS and _is_element(first):
        return Exchange(removed=None, added=first)
    if kind.lower() in _SUBSTITUTIONS and second == "on" and _is_element(first) and _is_element(words[-1]):
        return Exchange(removed=words[-1], added=first)
    if _is_element(kind) and first == "i":
        return Exchange(removed=None, added=kind)
    if _is_element(kind) and _is_element(first):
        return Exchange(removed=first, added=kind)
    return None


def host_by_name(counts: Mapping[str, int], defect: str) -> str | None:
    """Undo what a defect's name says, and reduce.

    Parameters
    ----------
    counts
        Number of atoms of each element in the defective supercell, by symbol.
    defect
        Name of the defect.

    Returns
    -------
    str or None
        Reduced formula, e.g. ``CdTe``. None if the name says nothing, an atom that it adds is not there, or the counts have no
        common divisor.
    """
    host = _undone(counts, defect)
    if host is None:
        return None
    formula, units = Composition(host).get_reduced_formula_and_factor()
    return formula if units >= LEAST_FORMULA_UNITS else None


def host_by_rounding(counts: Mapping[str, int]) -> str | None:
    """Find the smallest formula of which the supercell is a multiple but for one point defect.

    Parameters
    ----------
    counts
        Number of atoms of each element in the defective supercell, by symbol.

    Returns
    -------
    str or None
        Reduced formula; None if every multiple of every formula differs by more than ``LARGEST_DIFFERENCE`` atoms.
    """
    for units in range(sum(counts.values()), LEAST_ROUNDED_UNITS - 1, -1):
        formula = {element: round(count / units) for element, count in counts.items()}
        if sum(abs(units * formula[element] - count) for element, count in counts.items()) <= LARGEST_DIFFERENCE:
            return reduced_formula(formula)
    return None


def is_of_host(counts: Mapping[str, int], defect: str, *, formula: str) -> bool:
    """Whether a supercell can be that of a defect in a host.

    Parameters
    ----------
    counts
        Number of atoms of each element in the supercell, by symbol.
    defect
        Name of the defect, or of the bulk.
    formula
        Reduced formula of the host.

    Returns
    -------
    bool
        True if the supercell, with what the name says undone, is a multiple of the formula; where the name says nothing, if it
        is one but for a point defect.
    """
    if defect == BULK:
        return reduced_formula(counts) == formula
    if exchange_of(defect, vanadium="V" in counts) is not None:
        host = _undone(counts, defect)
        return host is not None and reduced_formula(host) == formula
    return formula in (reduced_formula(counts), host_by_rounding(counts))


def reduced_formula(counts: Mapping[str, float]) -> str:
    """Return pymatgen's reduced formula of counts (number of atoms by symbol), e.g. ``CdTe``."""
    return Composition({element: count for element, count in counts.items() if count}).reduced_formula


def _undone(counts: Mapping[str, int], defect: str) -> dict[str, int] | None:
    exchange = exchange_of(defect, vanadium="V" in counts)
    if exchange is None:
        return None
    host = Counter(counts)
    if exchange.removed is not None:
        host[exchange.removed] += 1
    if exchange.added is not None:
        host[exchange.added] -= 1
    return {element: count for element, count in host.items() if count} if min(host.values()) >= 0 else None


def _is_element(word: str) -> bool:
    return Element.is_valid_symbol(word)
