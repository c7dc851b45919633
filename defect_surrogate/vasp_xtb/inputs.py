"""The input of a run: VASP's four files read together, checked against each other and against what tblite can do."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from .errors import VaspXtbStop
from .incar import Settings, read_settings
from .poscar import Poscar, read_poscar
from .potcar import VALENCE_ELECTRONS, Potential, read_potcar

CLOSEST_ATOMS = 0.5
"""Å. Nothing is bonded below this: H2, the shortest bond, has 0.74 Å."""


@dataclass(frozen=True)
class Job:
    """Everything a run is made of.

    Attributes
    ----------
    directory
        Where the files are read and written.
    settings, poscar, potentials
        INCAR, POSCAR, POTCAR.
    charge
        Of the cell, e: sum of ZVAL − NELECT.
    unpaired
        Number of unpaired electrons.
    advice
        What the user should know and what does not stop the run.
    """

    directory: Path
    settings: Settings
    poscar: Poscar
    potentials: tuple[Potential, ...]
    charge: float
    unpaired: int
    advice: tuple[str, ...]

    @property
    def nelect(self) -> float:
        """NELECT: electrons as VASP counts them, with the POTCAR's valence."""
        return _neutral_electrons(self.poscar, self.potentials) - self.charge


def read_job(directory: Path) -> Job:
    """Read POSCAR, INCAR, KPOINTS and POTCAR and check them.

    Parameters
    ----------
    directory
        Holds the four files.

    Raises
    ------
    VaspXtbStop
        If a file is missing or unreadable, the files do not fit each other, or the cell or an element is not one that
        tblite can treat.
    """
    paths = {name: directory / name for name in ("POSCAR", "INCAR", "KPOINTS", "POTCAR")}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        raise VaspXtbStop(f"No {', no '.join(missing)} in {directory}: VASP's four input files are needed")
    settings = read_settings(paths["INCAR"])
    poscar = read_poscar(paths["POSCAR"])
    potentials = read_potcar(paths["POTCAR"])
    _check_kpoints(paths["KPOINTS"])
    _check_species(poscar, potentials)
    _check_distances(poscar)
    _check_widths(poscar, settings.min_width)
    charge = 0.0
    if settings.nelect is not None:
        charge = _neutral_electrons(poscar, potentials) - settings.nelect
    unpaired, advice = _unpaired(poscar, charge, settings)
    return Job(directory, settings, poscar, potentials, charge, unpaired, advice)


def perpendicular_widths(cell: np.ndarray) -> np.ndarray:
    """Return the distances between opposite faces of a cell.

    Parameters
    ----------
    cell : (3, 3) array
        Lattice vectors as rows, Å.

    Returns
    -------
    (3,) array
        Å.
    """
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def _check_kpoints(path: Path) -> None:
    """Stop unless the file asks for Γ alone."""
    lines = [line.split("!")[0].strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    if not _is_gamma_only(lines):
        shown = " / ".join(line for line in lines[1:5] if line)
        raise VaspXtbStop(f"KPOINTS asks for '{shown}': tblite samples Γ only, a 1 1 1 mesh without shift is needed")


def _is_gamma_only(lines: list[str]) -> bool:
    try:
        count = int(lines[1].split()[0])
        if count == 0:
            mesh = [int(word) for word in lines[3].split()[:3]]
            shift = [float(word) for word in lines[4].split()[:3]] if len(lines) > 4 and lines[4] else [0.0]
            return lines[2][:1].upper() in ("G", "M") and mesh == [1, 1, 1] and not any(shift)
        return count == 1 and lines[2][:1].upper() != "L" and not any(float(word) for word in lines[3].split()[:3])
    except (IndexError, ValueError):
        return False


def _check_species(poscar: Poscar, potentials: tuple[Potential, ...]) -> None:
    """Stop unless POTCAR and POSCAR list the same elements, all of them known to GFN-xTB."""
    elements = tuple(potential.element for potential in potentials)
    if elements != poscar.species:
        raise VaspXtbStop(
            f"number of potentials on File POTCAR incompatible with number of species: POTCAR has "
            f"{' '.join(elements)}, POSCAR has {' '.join(poscar.species)}"
        )
    for symbol in poscar.species:
        if atomic_numbers[symbol] > len(VALENCE_ELECTRONS):
            raise VaspXtbStop(f"POSCAR: no GFN-xTB parameters for {symbol}, only for H to Rn")


def _check_distances(poscar: Poscar) -> None:
    """Stop if two atoms, or an atom and a periodic image of another, are in one place."""
    for first in range(len(poscar.positions) - 1):
        separations = poscar.positions[first + 1 :] - poscar.positions[first]
        vectors = (separations - np.round(separations)) @ poscar.cell
        distances = np.linalg.norm(vectors, axis=1)
        if distances.min() < CLOSEST_ATOMS:
            second = first + 1 + int(distances.argmin())
            raise VaspXtbStop(
                f"POSCAR: atoms {first + 1} ({poscar.symbols[first]}) and {second + 1} ({poscar.symbols[second]}) are "
                f"{distances.min():.3f} Å apart, less than {CLOSEST_ATOMS} Å"
            )


def _check_widths(poscar: Poscar, min_width: float) -> None:
    """Stop if the cell is too small for Γ alone."""
    widths = perpendicular_widths(poscar.cell)
    if widths.min() >= min_width:
        return
    multiples = [math.ceil(min_width / width - 1e-9) for width in widths]
    raise VaspXtbStop(
        f"POSCAR: the cell is {' x '.join(f'{width:.2f}' for width in widths)} Å wide. tblite samples Γ only and needs "
        f"{min_width:g} Å in each direction: make a {'x'.join(map(str, multiples))} supercell "
        f"({' x '.join(f'{m * w:.2f}' for m, w in zip(multiples, widths, strict=True))} Å). "
        f"XTB_MIN_WIDTH = {min_width:g} sets the limit"
    )


def _neutral_electrons(poscar: Poscar, potentials: tuple[Potential, ...]) -> float:
    return sum(count * potential.zval for count, potential in zip(poscar.counts, potentials, strict=True))


def _unpaired(poscar: Poscar, charge: float, settings: Settings) -> tuple[int, tuple[str, ...]]:
    """Return the number of unpaired electrons, of the parity that the electron number allows, and advice."""
    electrons = sum(VALENCE_ELECTRONS[atomic_numbers[symbol] - 1] for symbol in poscar.symbols) - charge
    if electrons < 0:
        raise VaspXtbStop(f"INCAR: NELECT = {settings.nelect} leaves {electrons:g} valence electrons for GFN-xTB")
    parity = round(electrons) % 2
    wanted = settings.nupdown if settings.ispin == 2 and settings.nupdown is not None else parity
    if (wanted - parity) % 2 == 0:
        return wanted, ()
    fitting = wanted + 1
    return fitting, (f"NUPDOWN = {wanted} does not fit {electrons:g} electrons: NUPDOWN = {fitting} is used",)
