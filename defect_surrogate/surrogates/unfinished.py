"""What is known of a relaxation that has not ended, and its file, from which another process goes on at the same step."""

import io
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from defect_surrogate.archive import durable
from defect_surrogate.relaxation import Frame

logger = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.generic]]

FRAMES = ("positions", "energies", "forces")


@dataclass
class Unfinished:
    """A relaxation of n atoms on its way.

    Attributes
    ----------
    steps, evaluations
        Taken so far.
    seconds
        Its share of the wall time so far, s.
    start_energy
        eV; NaN before the first evaluation.
    positions, energies, forces
        Of the frames kept so far: k of shape (n, 3), Å; k of eV; k of shape (n, 3), eV/Å.
    state
        The row of the optimiser, and the positions to evaluate next, by name; empty before the first step.
    """

    steps: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    start_energy: float = float("nan")
    positions: list[NDArray[np.float64]] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    forces: list[NDArray[np.float64]] = field(default_factory=list)
    state: Arrays = field(default_factory=dict)

    def keep(self, positions: NDArray[np.float64], energy: float, forces: NDArray[np.float64]) -> None:
        """Keep a frame: shape (n, 3), Å; eV; shape (n, 3), eV/Å."""
        self.positions.append(positions)
        self.energies.append(energy)
        self.forces.append(forces)

    def frames(self, start: Structure) -> "KeptFrames":
        """Return the frames kept so far, in the lattice of the start."""
        return KeptFrames(start, tuple(self.positions), tuple(self.energies), tuple(self.forces))


@dataclass(frozen=True, eq=False)
class KeptFrames(Sequence[Frame]):
    """Frames of a relaxation, made when they are asked for: to make a ``Structure`` takes as long as some evaluations on a GPU.

    Attributes
    ----------
    start
        Its lattice and n species are those of all frames.
    positions, energies, forces
        Of each frame: shape (n, 3), Å; eV; shape (n, 3), eV/Å.
    """

    start: Structure
    positions: tuple[NDArray[np.float64], ...]
    energies: tuple[float, ...]
    forces: tuple[NDArray[np.float64], ...]

    def __len__(self) -> int:
        return len(self.energies)

    @overload
    def __getitem__(self, place: int) -> Frame: ...

    @overload
    def __getitem__(self, place: slice) -> "KeptFrames": ...

    def __getitem__(self, place: int | slice) -> "Frame | KeptFrames":
        if isinstance(place, slice):
            return KeptFrames(self.start, self.positions[place], self.energies[place], self.forces[place])
        structure = Structure(
            self.start.lattice,
            self.start.species_and_occu,  # twice as fast as with species
            self.positions[place],
            coords_are_cartesian=True,
        )
        return Frame(structure, self.energies[place], self.forces[place], None)


def write_unfinished(path: Path, unfinished: Unfinished, state: Arrays) -> None:
    """Write what is known of a relaxation, at once or not at all, in NumPy's format of several arrays.

    Parameters
    ----------
    path
        File, replaced if there is one.
    unfinished
        But for its ``state``.
    state
        In its place.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    buffer = io.BytesIO()
    counts = np.array([unfinished.steps, unfinished.evaluations, unfinished.seconds, unfinished.start_energy])
    frames = {f"frame_{name}": np.array(getattr(unfinished, name)) for name in FRAMES}
    arrays: dict[str, Any] = {"counts": counts, **frames, **{f"state_{name}": array for name, array in state.items()}}
    np.savez(buffer, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.replace(path, buffer.getvalue())


def read_unfinished(path: Path, *, row: Mapping[str, tuple[int, ...]]) -> Unfinished | None:
    """Read what another process left.

    Parameters
    ----------
    path
        File.
    row
        Shapes of the arrays in ``state``, by name, of this structure and with this optimiser.

    Returns
    -------
    Unfinished or None
        None if there is no file, or one that is damaged, which is logged: the relaxation then begins anew.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        steps, evaluations, seconds, start_energy = content["counts"].tolist()
        found = Unfinished(
            *(int(steps), int(evaluations), seconds, start_energy),
            *(list(content["frame_positions"]), content["frame_energies"].tolist(), list(content["frame_forces"])),
            {name.removeprefix("state_"): array for name, array in content.items() if name.startswith("state_")},
        )
        atoms = row["positions"][0] // 3
        if {array.shape for array in (*found.positions, *found.forces)} - {(atoms, 3)}:
            raise ValueError(f"not of {atoms} atoms")
        if {name: array.shape for name, array in found.state.items()} != row:
            raise ValueError("of another structure, or another version of the optimiser")
        if not np.isfinite(found.state["positions"]).all():
            raise ValueError("positions are not finite")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("%s: cannot be read (%s); the relaxation begins anew", path, error)
        return None
    return found
