"""Sampling structures of a vacancy, made by ShakeNBreak (doi:10.21105/joss.04817, method: doi:10.1038/s41524-023-00973-1)."""

from dataclasses import dataclass

from pymatgen.core import Structure

from defect_surrogate.vacancies import Vacancy


@dataclass(frozen=True)
class SamplingStructure:
    """One start of the search.

    Attributes
    ----------
    vacancy
        The vacancy it samples.
    label
        ShakeNBreak's name: ``Unperturbed``, ``Bond_Distortion_-30.0%``, ``Rattled`` or ``Dimer``.
    structure
        Distorted supercell, without oxidation states.
    seed
        Seed of the rattle; None for ``Unperturbed``.
    """

    vacancy: Vacancy
    label: str
    structure: Structure
    seed: int | None


@dataclass(frozen=True)
class SamplingSet:
    """All starts of one vacancy.

    Attributes
    ----------
    structures
        ``Unperturbed`` first, then the bond distortions ascending, then ``Dimer``.
    dropped
        Labels that ShakeNBreak dropped because two atoms came closer than 1 Å.
    """

    structures: tuple[SamplingStructure, ...]
    dropped: tuple[str, ...]
