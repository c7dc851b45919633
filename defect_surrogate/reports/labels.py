"""Distortion labels in ShakeNBreak's style (doi:10.21105/joss.04817), taken apart for plots and for order.

``Bond_Distortion_-30.0%`` shortens bonds to 70 %; ``_High_Energy`` marks a calculation that ShakeNBreak set aside;
``Dimer_from_surrogate`` starts from what the surrogate made of ``Dimer``, ``Dimer_from_-1`` from another charge state. In an
alloy ``Bond_Distortion_-30.0%_Se40-Te51`` distorts these two sites, and ``Transferred_3Te1Se_1`` is the lowest minimum that
another environment has at that level.
"""

import re
from dataclasses import dataclass

from defect_surrogate.distortions import FROM_SURROGATE, TRANSFERRED

_HIGH_ENERGY = "_High_Energy"
_BOND_DISTORTION = re.compile(r"Bond_Distortion_(-?\d{1,3}(?:\.\d+)?)%")


@dataclass(frozen=True)
class Start:
    """What a distortion label says about the start of a relaxation.

    Attributes
    ----------
    kind
        Label without the bond distortion and without what follows, e.g. ``Dimer``, ``Rattled``; ``Bond_Distortion``.
    bond_distortion
        Fractional change of the bond lengths, e.g. −0.3; None where the label has none.
    from_surrogate
        Whether the start is a minimum of the surrogate.
    high_energy
        Whether ShakeNBreak set the calculation aside for its high energy.
    """

    kind: str
    bond_distortion: float | None
    from_surrogate: bool
    high_energy: bool


def parse_label(label: str) -> Start:
    """Take a distortion label apart.

    Parameters
    ----------
    label
        Any text; one that ShakeNBreak would not write is a kind of its own.

    Returns
    -------
    Start
        Its parts.
    """
    match = _BOND_DISTORTION.match(label)
    plain = label.removesuffix(FROM_SURROGATE)
    return Start(
        kind=_kind(plain, distorted=match is not None),
        bond_distortion=float(match[1]) / 100 if match else None,
        from_surrogate=label.endswith(FROM_SURROGATE),
        high_energy=_HIGH_ENERGY in label,
    )


def label_order(label: str) -> tuple[int, float, str]:
    """Sort key: ``Unperturbed``, bond distortions ascending, then all others by name.

    Parameters
    ----------
    label
        Distortion label.

    Returns
    -------
    tuple
        Compares as the labels are to be listed.
    """
    start = parse_label(label)
    if start.bond_distortion is not None:
        return (1, start.bond_distortion, label)
    return (0 if start.kind == "Unperturbed" else 2, 0.0, label)


def _kind(plain: str, *, distorted: bool) -> str:
    if distorted:
        return "Bond_Distortion"
    if plain.startswith(TRANSFERRED):
        return TRANSFERRED.rstrip("_")
    return plain.split("_from_", maxsplit=1)[0].removesuffix(_HIGH_ENERGY)
