"""POSCAR: read and write the structure in VASP 5's format (https://www.vasp.at/wiki/index.php/POSCAR)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from .errors import VaspXtbStop
from .incar import read_logical


@dataclass(frozen=True)
class Poscar:
    """A structure with the order of atoms of its file.

    Attributes
    ----------
    comment
        First line.
    species, counts
        One entry per block of equal atoms, in the order of the file; a species may occur in two blocks.
    cell : (3, 3) array
        Lattice vectors as rows, Å.
    positions : (n, 3) array
        Fractional coordinates, as in the file: not wrapped.
    mobile : (n, 3) array of bool or None
        Selective dynamics: whether an atom may move along each lattice vector.
    """

    comment: str
    species: tuple[str, ...]
    counts: tuple[int, ...]
    cell: np.ndarray
    positions: np.ndarray
    mobile: np.ndarray | None

    @property
    def symbols(self) -> list[str]:
        """Chemical symbol of each atom."""
        return [symbol for symbol, count in zip(self.species, self.counts, strict=True) for _ in range(count)]

    @property
    def blocks(self) -> list[int]:
        """Index of the species block of each atom, from 1."""
        return [block for block, count in enumerate(self.counts, start=1) for _ in range(count)]

    @property
    def volume(self) -> float:
        """Signed volume of the cell, Å³."""
        return float(np.linalg.det(self.cell))


def read_poscar(path: Path) -> Poscar:
    """Read a POSCAR or CONTCAR; velocities and what follows them are ignored.

    Raises
    ------
    VaspXtbStop
        If the file is not a VASP 5 POSCAR with finite numbers and a right-handed cell.
    """
    try:
        poscar = _parse(path.read_text(encoding="utf-8").splitlines())
    except (ValueError, IndexError) as error:
        raise VaspXtbStop(f"{path.name} cannot be read: {error}") from error
    if not (np.isfinite(poscar.cell).all() and np.isfinite(poscar.positions).all()):
        raise VaspXtbStop(f"{path.name} cannot be read: it holds numbers that are not finite")
    if abs(poscar.volume) < 1e-6:
        raise VaspXtbStop(f"{path.name}: the volume of the cell is {poscar.volume:.3g} Å³")
    if poscar.volume < 0:
        raise VaspXtbStop(
            f"ERROR: the triple product of the basis vectors of {path.name} is negative "
            f"({poscar.volume:.3f} Å³), exchange two basis vectors"
        )
    return poscar


def format_poscar(poscar: Poscar, *, cell: np.ndarray, positions: np.ndarray, comment: str) -> str:
    """Return the text of a POSCAR at full precision, so that a run continues from it exactly.

    Parameters
    ----------
    poscar
        Gives species, order and selective dynamics.
    cell : (3, 3) array
        Å.
    positions : (n, 3) array
        Fractional coordinates.
    comment
        First line.
    """
    lines = [comment, "   1.00000000000000", *header_lines(poscar, cell=cell)]
    if poscar.mobile is not None:
        lines.append("Selective dynamics")
    lines.append("Direct")
    for index, position in enumerate(positions):
        flags = "" if poscar.mobile is None else "".join(f"   {'T' if free else 'F'}" for free in poscar.mobile[index])
        lines.append("".join(f"{x:22.16f}" for x in position) + flags)
    return "\n".join(lines) + "\n"


def header_lines(poscar: Poscar, *, cell: np.ndarray) -> list[str]:
    """Return the lines of lattice vectors, species and counts.

    Parameters
    ----------
    poscar
        Gives species and counts.
    cell : (3, 3) array
        Å.
    """
    return [
        *("".join(f"{x:23.16f}" for x in vector) for vector in cell),
        "".join(f"{symbol:>5s}" for symbol in poscar.species),
        "".join(f"{count:6d}" for count in poscar.counts),
    ]


def _parse(lines: list[str]) -> Poscar:
    cell = np.array([_numbers(line) for line in lines[2:5]])
    if cell.shape != (3, 3):
        raise ValueError("fewer than three lattice vectors")
    scale = _scale(lines[1], cell)
    words = lines[5].split()
    if words and words[0].lstrip("-").isdigit():
        raise ValueError("line 6 holds counts and no chemical symbols (VASP 4 format)")
    species = tuple(_symbol(word) for word in words)
    counts = tuple(int(word) for word in lines[6].split("!")[0].split())
    if len(species) != len(counts) or not counts or min(counts) < 1:
        raise ValueError(f"species {' '.join(words)} and counts {lines[6].strip()} do not fit")
    start = 7
    selective = lines[start].strip()[:1].upper() == "S"
    start += selective
    cartesian = lines[start].strip()[:1].upper() in ("C", "K")
    atom_lines = lines[start + 1 : start + 1 + sum(counts)]
    if len(atom_lines) < sum(counts):
        raise ValueError(f"{len(atom_lines)} atom lines, {sum(counts)} expected")
    positions = np.array([_numbers(line) for line in atom_lines])
    mobile = None
    if selective:
        mobile = np.array([[read_logical(word) for word in line.split()[3:6]] for line in atom_lines])
        if mobile.shape != positions.shape:
            raise ValueError("selective dynamics without three flags for each atom")
    cell = cell * scale
    if cartesian and abs(np.linalg.det(cell)) > 1e-6:
        positions = np.linalg.solve(cell.T, (positions * scale).T).T
    return Poscar(lines[0].strip(), species, counts, cell, positions, mobile)


def _numbers(line: str) -> list[float]:
    words = line.split()[:3]
    if len(words) < 3:
        raise ValueError(f"three numbers expected in {line!r}")
    return [float(word.upper().replace("D", "E")) for word in words]


def _scale(line: str, cell: np.ndarray) -> np.ndarray:
    """Return the factor of each Cartesian direction (3,); a negative one is the volume wanted."""
    factors = []
    for word in line.split()[:3]:
        try:
            factors.append(float(word.upper().replace("D", "E")))
        except ValueError:
            break
    if len(factors) not in (1, 3) or 0.0 in factors or (len(factors) == 3 and min(factors) < 0):
        raise ValueError(f"scale factor {line.strip()!r}")
    if factors[0] < 0:
        volume = abs(np.linalg.det(cell))
        if volume == 0:
            raise ValueError("the lattice vectors span no volume")
        factors = [float(np.cbrt(-factors[0] / volume))]
    return np.broadcast_to(np.array(factors), (3,))


def _symbol(word: str) -> str:
    """Return the element of ``Cd``, ``Ga_d`` or ``Te/3a5c``."""
    symbol = word.split("/", maxsplit=1)[0].split("_", maxsplit=1)[0]
    if symbol not in atomic_numbers or symbol == "X":
        raise ValueError(f"{word!r} is not a chemical symbol")
    return symbol
