"""Labelled frames and datasets of them: what a surrogate learns from, and what its errors are measured on.

Frames are arrays, not pymatgen structures: twenty thousand of them have to fit in memory beside a model.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from defect_surrogate.relaxation import digest

PRECISION = 1e-8
"""Of all numbers in a dataset's files and in its digest, in Å, eV, eV/Å and eV/Å³."""

BULK = "bulk"
"""Name of the defect of a frame without one."""

HOST = "Host"
"""Label of the relaxation of a host, whose last frame is the relaxed host."""


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One ionic step of a reference calculation, with what identifies it.

    Attributes
    ----------
    host
        Name of the host, e.g. ``CdTe``.
    defect
        Name and charge in doped's style, e.g. ``v_Cd_0``; ``bulk`` for the host itself.
    label
        Distortion label in ShakeNBreak's style, e.g. ``Bond_Distortion_-30.0%``.
    step
        Ionic step, counted from 0 over all restarts.
    last
        Whether it is the last ionic step: the relaxed structure.
    composition
        Reduced formula of the host, which splits go by.
    source
        SHA-256 of the file or archived unit it comes from, 64 hexadecimal digits.
    numbers
        Atomic numbers, shape (n,).
    positions
        Cartesian positions, shape (n, 3), Å.
    cell
        Lattice vectors as rows, shape (3, 3), Å.
    energy
        Potential energy, eV per supercell.
    forces
        Shape (n, 3), eV/Å.
    stress
        Stress (1/V) ∂E/∂ε, shape (3, 3), eV/Å³, positive under tension (ASE's sign); None where there is none.
    """

    host: str
    defect: str
    label: str
    step: int
    last: bool
    composition: str
    source: str
    numbers: NDArray[np.int64] = field(repr=False)
    positions: NDArray[np.float64] = field(repr=False)
    cell: NDArray[np.float64] = field(repr=False)
    energy: float
    forces: NDArray[np.float64] = field(repr=False)
    stress: NDArray[np.float64] | None = field(repr=False)

    @property
    def name(self) -> str:
        """Identity for people, e.g. ``CdTe/v_Cd_0/Dimer/12``."""
        return f"{self.host}/{self.defect}/{self.label}/{self.step}"

    @property
    def comparable(self) -> tuple[str, str, tuple[int, ...]]:
        """Host, defect and sorted atomic numbers: the energies of frames in which all three are the same can be compared."""
        return self.host, self.defect, tuple(np.sort(self.numbers).tolist())

    @property
    def is_bulk(self) -> bool:
        """Whether the host has no defect in it."""
        return self.defect == BULK

    @property
    def symbols(self) -> list[str]:
        """Chemical symbols, in the order of the sites."""
        return [Element.from_Z(int(number)).symbol for number in self.numbers]

    @property
    def structure(self) -> Structure:
        """The frame as a pymatgen structure."""
        return Structure(self.cell, self.symbols, self.positions, coords_are_cartesian=True)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Frames at one level of theory.

    Attributes
    ----------
    level_of_theory
        In words, e.g. ``HSE06 (VASP)``: one for all frames.
    frames
        Sorted by host, defect, label and step.
    potcars
        Titles of the POTCARs they were computed with, e.g. ``PAW_PBE Cd 06Sep2000``, sorted; not in the digest.
    """

    level_of_theory: str
    frames: tuple[LabelledFrame, ...] = field(repr=False)
    potcars: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts, sorted."""
        return tuple(sorted({frame.host for frame in self.frames}))

    @property
    def compositions(self) -> tuple[str, ...]:
        """Reduced formulas of the hosts, sorted."""
        return tuple(sorted({frame.composition for frame in self.frames}))

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements of all frames, sorted."""
        numbers = {int(number) for frame in self.frames for number in np.unique(frame.numbers)}
        return tuple(sorted(Element.from_Z(number).symbol for number in numbers))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of level of theory and frames, their numbers rounded to ``PRECISION``; 64 hexadecimal digits."""
        return digest([self.level_of_theory, *(_frame_digest(frame) for frame in self.frames)])

    def select(self, wanted: Callable[[LabelledFrame], bool]) -> "Dataset":
        """Return the frames that a condition holds for."""
        return replace(self, frames=tuple(frame for frame in self.frames if wanted(frame)))

    def by_defect(self) -> dict[tuple[str, str], tuple[LabelledFrame, ...]]:
        """Return the frames of each (host, defect), in their order; ``bulk`` is one of the defects of a host."""
        groups: dict[tuple[str, str], list[LabelledFrame]] = {}
        for frame in self.frames:
            groups.setdefault((frame.host, frame.defect), []).append(frame)
        return {key: tuple(frames) for key, frames in groups.items()}


def _frame_digest(frame: LabelledFrame) -> str:
    hasher = hashlib.sha256(frame.name.encode())
    stress = np.zeros(0) if frame.stress is None else frame.stress
    for values in (frame.numbers, frame.positions, frame.cell, np.array([frame.energy]), frame.forces, stress):
        hasher.update(np.rint(np.asarray(values, dtype=np.float64) / PRECISION).astype("<i8").tobytes())
    return hasher.hexdigest()
