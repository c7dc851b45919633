"""What a relaxation is, at either level of theory, and the unit of work it answers.

``surrogate`` and ``reference`` are the two levels of theory. A ``Unit`` says what is to be relaxed and how; its ``name`` is
the archive directory, the task-run name and the row of the report, and its ``key`` the digest under which finished work is
found again. A ``Relaxation`` is the answer. Not converging is data; only work that broke is an exception.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

Level = Literal["surrogate", "reference"]
Reason = Literal["converged", "step limit", "time limit", "stopped", "not recorded", "diverged", "merged"]


@dataclass(frozen=True)
class Frame:
    """One ionic step of a relaxation.

    Attributes
    ----------
    structure
        Positions and lattice of this step, n sites.
    energy
        Potential energy, eV per supercell.
    forces
        Force on each atom, shape (n, 3), eV/Å.
    stress
        Stress (1/V) ∂E/∂ε, shape (3, 3), eV/Å³, positive under tension (ASE's sign, opposite to VASP's "in kB"); None where
        it was not computed.
    """

    structure: Structure
    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None


@dataclass(frozen=True)
class Provenance:
    """Where a relaxation comes from.

    Attributes
    ----------
    level_of_theory
        In words, e.g. ``HSE06 (VASP)`` or ``GFN1-xTB (vasp-xtb, stand-in for VASP)``.
    method
        Digest of all that decides the result besides the starting structure.
    seconds
        Wall time of the relaxation, s; NaN where it is not known.
    evaluations
        Evaluations of energy and forces.
    versions
        Pairs of library or executable name and version.
    corrections
        What custodian changed, in words, in order.
    """

    level_of_theory: str
    method: str
    seconds: float
    evaluations: int
    versions: tuple[tuple[str, str], ...]
    corrections: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relaxation:
    """The outcome of relaxing one structure at one level of theory.

    Attributes
    ----------
    level
        ``surrogate`` or ``reference``.
    structure
        Relaxed structure, n sites in the order of the start.
    energy
        Energy of ``structure``, eV per supercell; NaN if diverged before the first finite evaluation.
    steps
        Ionic steps taken.
    converged
        Whether the convergence criterion of the level was met.
    reason
        Why it stopped; ``diverged`` structures are never ranked, ``merged`` ones had fallen into a basin already reached.
    detail
        The reason in numbers, e.g. ``mean force 8.9e-06 eV/Å``.
    provenance
        Level of theory, digest of the method, timings, versions, corrections.
    frames
        Frames kept, first and last among them; empty when read back from the archive, where ``Archive.read_frames``
        returns them.
    """

    level: Level
    structure: Structure
    energy: float
    steps: int
    converged: bool
    reason: Reason
    detail: str
    provenance: Provenance
    frames: Sequence[Frame] = ()

    @property
    def rankable(self) -> bool:
        """Whether energy and structure may be compared with those of other relaxations."""
        return self.reason != "diverged"

    @property
    def finished(self) -> bool:
        """Whether it ended by itself; one that was interrupted from outside is not the result of its unit."""
        return self.reason not in ("time limit", "stopped")


@dataclass(frozen=True)
class Segment:
    """Ionic steps of a relaxation that was interrupted, from which it goes on.

    Attributes
    ----------
    frames
        All steps, the last of which is the first of what comes after.
    seconds
        Wall time, s.
    corrections
        What was changed on the way, in words.
    """

    frames: tuple[Frame, ...]
    seconds: float
    corrections: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unit:
    """One unit of work: a structure to relax, and how.

    Attributes
    ----------
    host
        Name of the host, e.g. ``CdTe``.
    defect
        Name and charge in doped's style, e.g. ``v_Cd_0``; ``bulk`` for the host itself.
    label
        Distortion label in ShakeNBreak's style, e.g. ``Bond_Distortion_-30.0%``.
    level
        ``surrogate`` or ``reference``.
    structure
        Starting structure.
    method
        Digest of all that decides the result besides the starting structure.
    """

    host: str
    defect: str
    label: str
    level: Level
    structure: Structure
    method: str

    @property
    def name(self) -> str:
        """Identity for people, e.g. ``CdTe/v_Cd_0/Dimer/reference``."""
        return f"{self.host}/{self.defect}/{self.label}/{self.level}"

    @property
    def key(self) -> str:
        """Digest of level, starting structure and method, 64 hexadecimal digits."""
        return digest({"level": self.level, "structure": structure_digest(self.structure), "method": self.method})


def digest(content: object) -> str:
    """Digest of a JSON-able value that does not depend on the order of its keys.

    Parameters
    ----------
    content
        Mappings, sequences, strings, finite numbers, booleans and None.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.

    Raises
    ------
    ValueError
        If a number is not finite.
    TypeError
        If a value has no JSON form.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def structure_digest(structure: Structure) -> str:
    """Digest of lattice, species (with oxidation states dropped) and coordinates, in site order.

    Parameters
    ----------
    structure
        n ordered sites. Lattice vectors in Å and fractional coordinates enter rounded to 1e-8, the precision of a POSCAR.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    return digest(
        {
            "lattice": _rounded(structure.lattice.matrix),
            "species": [site.specie.symbol for site in structure],
            "coordinates": _rounded(structure.frac_coords),
        }
    )


def mean_force(forces: NDArray[np.float64]) -> float:
    """Mean over atoms of the force norms, the convergence criterion of the paper.

    Parameters
    ----------
    forces
        Shape (n, 3), eV/Å.

    Returns
    -------
    float
        Mean force, eV/Å.
    """
    return float(np.linalg.norm(forces, axis=1).mean())


def max_force(forces: NDArray[np.float64]) -> float:
    """Maximum over atoms of the force norms, ASE's ``fmax``.

    Parameters
    ----------
    forces
        Shape (n, 3), eV/Å.

    Returns
    -------
    float
        Maximum force, eV/Å.
    """
    return float(np.linalg.norm(forces, axis=1).max())


def _rounded(values: NDArray[np.float64]) -> list[list[str]]:
    return [[f"{value + 0.0:.8f}" for value in row] for row in np.round(values, 8)]
