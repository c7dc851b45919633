"""Lines of a report about single relaxations, and the methods they were made with.

Energies are only comparable at one level of theory: a report refuses to rank those of two.
"""

import math
from collections.abc import Sequence

from defect_surrogate.errors import ReportError
from defect_surrogate.relaxation import Level, Relaxation
from defect_surrogate.reports.schema import MethodReport, RelaxationReport


def relaxation_report(relaxation: Relaxation, *, label: str, key: str | None) -> RelaxationReport:
    """Put a relaxation in one line.

    Parameters
    ----------
    relaxation
        The relaxation.
    label
        Distortion of its start; ``Host`` for the host.
    key
        Key of its unit in the archive, if any.

    Returns
    -------
    RelaxationReport
        Its energy is null when it diverged.
    """
    return RelaxationReport(
        label=label,
        level=relaxation.level,
        energy=finite(relaxation.energy) if relaxation.rankable else None,
        steps=relaxation.steps,
        converged=converged(relaxation),
        reason=relaxation.reason,
        detail=relaxation.detail,
        seconds=finite(relaxation.provenance.seconds),
        corrections=relaxation.provenance.corrections,
        method=relaxation.provenance.method,
        key=key,
    )


def converged(relaxation: Relaxation) -> bool | None:
    """Say whether a relaxation converged, as far as that is known.

    Parameters
    ----------
    relaxation
        The relaxation.

    Returns
    -------
    bool or None
        None when it is not recorded.
    """
    return None if relaxation.reason == "not recorded" else relaxation.converged


def methods_of(relaxations: Sequence[Relaxation], *, where: str) -> tuple[MethodReport, ...]:
    """List the methods of relaxations, and refuse to mix levels of theory.

    Parameters
    ----------
    relaxations
        Of one vacancy, or one host itself.
    where
        Names it in the error.

    Returns
    -------
    tuple of MethodReport
        Surrogate first, then by digest. Where versions changed between runs, each library lists all of them.

    Raises
    ------
    ReportError
        If the relaxations of one level are at more than one level of theory.
    """
    groups: dict[tuple[Level, str, str], list[Relaxation]] = {}
    for one in relaxations:
        groups.setdefault((one.level, one.provenance.level_of_theory, one.provenance.method), []).append(one)
    for level in ("surrogate", "reference"):
        theories = sorted({theory for group, theory, _ in groups if group == level})
        if len(theories) > 1:
            raise ReportError(
                f"{where}: {level} relaxations at different levels of theory cannot be ranked: {theories}"
            )
    return tuple(
        MethodReport(
            level, theory, digest, _versions(groups[level, theory, digest]), len(groups[level, theory, digest])
        )
        for level, theory, digest in sorted(groups, key=lambda group: (group[0] == "reference", group))
    )


def _versions(relaxations: Sequence[Relaxation]) -> dict[str, str]:
    pairs = sorted({pair for one in relaxations for pair in one.provenance.versions})
    return {name: ", ".join(version for other, version in pairs if other == name) for name, _ in pairs}


def finite(value: float) -> float | None:
    """Replace what JSON cannot hold.

    Parameters
    ----------
    value
        Any number.

    Returns
    -------
    float or None
        The number, or None when it is NaN or infinite.
    """
    return float(value) if math.isfinite(value) else None
