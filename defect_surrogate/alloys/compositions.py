"""Compositions of an alloy that a supercell of whole atoms can have."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from defect_surrogate.alloys.end_members import Alloy
from defect_surrogate.alloys.settings import AlloySettings
from defect_surrogate.errors import AlloyError

DIGITS = 3
"""Of the amounts in a name."""


@dataclass(frozen=True)
class Composition:
    """How many sites of the mixing sublattice each species takes.

    Attributes
    ----------
    name
        Formula per formula unit of the first end member, e.g. ``CdTe0.812Se0.188``.
    species
        On the mixing sublattice, in the order of the end members.
    requested
        Fraction of each that was asked for.
    counts
        Sites of the supercell that each takes.
    """

    name: str
    species: tuple[str, ...]
    requested: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def fractions(self) -> tuple[float, ...]:
        """Fraction of the sublattice that each species takes in the supercell."""
        return tuple(count / sum(self.counts) for count in self.counts)

    @property
    def x(self) -> float | None:
        """Achieved fraction of the second species where there are two; None where there are more."""
        return self.fractions[1] if len(self.species) == 2 else None


def compositions_of(alloy: Alloy, settings: AlloySettings) -> tuple[Composition, ...]:
    """Find the atoms that each composition asked for has in the supercell.

    Parameters
    ----------
    alloy
        The end members.
    settings
        Compositions and tolerance.

    Returns
    -------
    tuple of Composition
        In the order of the settings.

    Raises
    ------
    AlloyError
        If a composition names a species that no end member has, fractions do not lie in [0, 1] or do not sum to 1, none of the
        supercell's compositions is within the tolerance, or two come out the same.
    """
    found = tuple(_composition(alloy, asked, settings.tolerance) for asked in settings.compositions)
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            asked = [one for one, other in zip(settings.compositions, names, strict=True) if other == name]
            raise AlloyError(
                f"{alloy.name}: compositions {asked[0]} and {asked[1]} are both {name} with {len(alloy.sites)} sites; leave "
                "one out, or take a larger supercell"
            )
    return found


def _composition(alloy: Alloy, asked: float | Mapping[str, float], tolerance: float) -> Composition:
    requested = _fractions(alloy, asked)
    counts = _whole(requested, len(alloy.sites))
    for species, fraction, count in reversed(
        list(zip(alloy.species, requested, counts, strict=True))
    ):  # x before 1 - x
        achieved = count / len(alloy.sites)
        if abs(achieved - fraction) > tolerance:
            raise AlloyError(
                f"{alloy.name}: {fraction:g} of {species} cannot be had on {len(alloy.sites)} sites: the nearest is "
                f"{count}/{len(alloy.sites)} = {achieved:.4g}, off by {abs(achieved - fraction):.2g}, and alloy.tolerance is "
                f"{tolerance:g}"
            )
    return Composition(_name(alloy, counts), alloy.species, requested, counts)


def _fractions(alloy: Alloy, asked: float | Mapping[str, float]) -> tuple[float, ...]:
    if not isinstance(asked, Mapping):
        if len(alloy.species) > 2:
            raise AlloyError(
                f"{alloy.name}: {asked:g} is no composition of {len(alloy.species)} species: give each fraction"
            )
        asked = {alloy.species[0]: 1 - asked, alloy.species[1]: asked}
    if unknown := sorted(set(asked) - set(alloy.species)):
        raise AlloyError(
            f"{alloy.name}: no end member has {unknown[0]} on the sublattice of {', '.join(alloy.species)}"
        )
    fractions = tuple(float(asked.get(species, 0.0)) for species in alloy.species)
    if abs(sum(fractions) - 1) > 1e-6 or not all(0 <= one <= 1 for one in fractions):
        raise AlloyError(f"{alloy.name}: composition {dict(asked)}: fractions lie in [0, 1] and sum to 1")
    return fractions


def _whole(fractions: Sequence[float], sites: int) -> tuple[int, ...]:
    """Share whole sites out by the largest remainders, earlier species first where these are equal."""
    counts = [math.floor(fraction * sites + 1e-9) for fraction in fractions]
    remainders = sorted(range(len(fractions)), key=lambda i: (counts[i] - fractions[i] * sites, i))
    for i in remainders[: sites - sum(counts)]:
        counts[i] += 1
    return tuple(counts)


def _name(alloy: Alloy, counts: Sequence[int]) -> str:
    words = []
    for symbol, amount in alloy.formula:
        if symbol != alloy.species[0]:
            words.append((symbol, amount))
            continue
        words += [
            (one, amount * count / sum(counts)) for one, count in zip(alloy.species, counts, strict=True) if count
        ]
    return "".join(
        f"{symbol}{'' if abs(amount - 1) < 1e-9 else f'{round(amount, DIGITS):g}'}" for symbol, amount in words
    )
