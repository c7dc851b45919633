"""VASP's four input files for one relaxation, and the digest of all that decides its result.

The settings are those of Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9, Methods): hosts with a Monkhorst–Pack
mesh of 900 k-points per site (read as k-points times atoms, pymatgen's ``Kpoints.automatic_density``, which centres
the mesh at Γ where a shifted one would break the symmetry), defects at Γ only. Hosts too are run at Γ only with
``vasp-xtb``, whose tblite samples nothing else; they are then supercells.
"""

import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.relaxation import digest
from defect_surrogate.settings import DEFECT_INCAR, HOST_INCAR, IncarValue, ReferenceSettings
from defect_surrogate.vasp.command import STAND_IN, find_command
from defect_surrogate.vasp.functional import functional_name, stand_in_level
from defect_surrogate.vasp.incar import merged_incar
from defect_surrogate.vasp.potcars import STAND_IN_MARK, PotcarIdentity, potcar_symbol, read_potcar
from defect_surrogate.vasp_xtb import VERSION
from defect_surrogate.vasp_xtb.incar import DEFAULT_MIN_WIDTH, METHODS
from defect_surrogate.vasp_xtb.inputs import perpendicular_widths

TAGS_WITHOUT_EFFECT = frozenset(
    {"KPAR", "NCORE", "NPAR", "NSIM", "LPLANE", "LSCALAPACK", "SYSTEM", "LWAVE", "LCHARG", "LORBIT", "XTB_MIN_WIDTH"}
)
"""How the work is divided, what is written besides, and what is refused: they decide no result and enter no
digest."""


@dataclass(frozen=True)
class ReferenceMethod:
    """All that decides the result of a reference relaxation besides the structure, and how it is run.

    Attributes
    ----------
    incar
        Tags and values as written.
    kpoints
        Text of KPOINTS.
    potcars
        One per element, in the order of their first appearance in the structure.
    executable
        ``VASP``, or ``vasp-xtb`` with its version and that of tblite.
    level_of_theory
        In words, e.g. ``HSE06 (VASP)`` or ``GFN1-xTB (vasp-xtb, stand-in for VASP)``.
    command
        Words of the command that starts the executable.
    max_errors
        Most corrections by custodian.
    walltime
        Most seconds; None for no limit.
    """

    incar: Mapping[str, IncarValue]
    kpoints: str
    potcars: tuple[PotcarIdentity, ...]
    executable: str
    level_of_theory: str
    command: tuple[str, ...]
    max_errors: int
    walltime: int | None

    @property
    def is_stand_in(self) -> bool:
        """Whether the executable is ``vasp-xtb``."""
        return self.executable != "VASP"

    @property
    def digest(self) -> str:
        """Digest of INCAR, KPOINTS, POTCARs and kind of executable; not of command, ranks or limits."""
        return digest(
            {
                "incar": {tag: value for tag, value in self.incar.items() if tag not in TAGS_WITHOUT_EFFECT},
                "kpoints": self.kpoints.splitlines()[1:],
                "potcars": sorted([potcar.element, potcar.titel, potcar.sha256] for potcar in self.potcars),
                "executable": self.executable,
            }
        )


def check_executable(settings: ReferenceSettings) -> Path:
    """Find the executable before any work is queued.

    Parameters
    ----------
    settings
        Holds ``vasp_cmd``.

    Returns
    -------
    Path
        The first word of the command, or for the stand-in the word ``vasp-xtb``, as found on PATH or beside the
        running Python. What a launcher (``srun``, ``mpirun``) starts in turn may exist on the compute nodes only and
        is not sought.

    Raises
    ------
    ReferenceInputError
        If it is not there; says what to do.
    """
    command = find_command(settings.vasp_cmd)
    return Path(next((word for word in command if Path(word).name == STAND_IN), command[0]))


def reference_method(
    structure: Structure, settings: ReferenceSettings, *, cell: Literal["defect", "host"], charge: int = 0
) -> ReferenceMethod:
    """Choose INCAR, KPOINTS and POTCARs for a structure.

    Parameters
    ----------
    structure
        What is to be relaxed, n ordered sites.
    settings
        Executable, INCAR overrides, POTCARs, k-point density.
    cell
        Whether the tags are those of a defect (ions relaxed, Γ only) or of a host (cell and ions relaxed).
    charge
        Charge of the cell, units of e. NELECT is written only if it is not zero.

    Returns
    -------
    ReferenceMethod
        The same for every structure with these elements, but for a host's mesh and a charged cell's NELECT.

    Raises
    ------
    ReferenceInputError
        Naming the tag and its value if INCAR cannot be used; naming symbol and functional if a POTCAR is missing or
        is not of the kind that goes with the executable.
    """
    functional = STAND_IN_MARK if settings.is_stand_in else settings.potcar_functional
    potcars = {}
    for element in _elements(structure):
        symbol = potcar_symbol(element, functional=functional, chosen=settings.potcar_symbols)
        potcars[element], _ = read_potcar(element, symbol=symbol, functional=functional)
    defaults, overrides = (
        (DEFECT_INCAR, settings.defect_incar) if cell == "defect" else (HOST_INCAR, settings.host_incar)
    )
    incar = merged_incar(defaults, overrides, stand_in=settings.is_stand_in)
    if charge:
        incar["NELECT"] = sum(potcars[site.specie.symbol].valence for site in structure) - charge
    gamma_only = cell == "defect" or settings.is_stand_in
    if gamma_only:
        kpoints = Kpoints.gamma_automatic((1, 1, 1))
    else:
        kpoints = Kpoints.automatic_density(structure, settings.host_kpoint_density)
    if settings.is_stand_in:
        executable = f"{STAND_IN} {VERSION}, tblite {importlib.metadata.version('tblite')}"
        level_of_theory = stand_in_level(str(incar.get("XTB_METHOD", METHODS[0])))
    else:
        executable = "VASP"
        titels = [potcar.titel for potcar in potcars.values()]
        level_of_theory = f"{functional_name(incar, potcar_titles=titels)} (VASP)"
    return ReferenceMethod(
        incar=dict(sorted(incar.items())),
        kpoints=str(kpoints),
        potcars=tuple(potcars.values()),
        executable=executable,
        level_of_theory=level_of_theory,
        command=tuple(settings.vasp_gam_cmd if gamma_only and settings.vasp_gam_cmd else settings.vasp_cmd),
        max_errors=settings.max_errors,
        walltime=settings.walltime,
    )


def check_cell(structure: Structure, settings: ReferenceSettings) -> None:
    """Refuse a cell that vasp-xtb, which samples Γ only, would refuse at its start.

    Parameters
    ----------
    structure
        Supercell of a defect.
    settings
        Executable and INCAR overrides.

    Raises
    ------
    ReferenceInputError
        Naming the widths of the cell and the least, Å.
    """
    if not settings.is_stand_in:
        return
    incar = merged_incar(DEFECT_INCAR, settings.defect_incar, stand_in=True)
    least = float(str(incar.get("XTB_MIN_WIDTH", os.environ.get("XTB_MIN_WIDTH", DEFAULT_MIN_WIDTH))))
    widths = perpendicular_widths(structure.lattice.matrix)
    if widths.min() < least:
        raise ReferenceInputError(
            f"{structure.composition.formula}: the cell is {' x '.join(f'{width:.2f}' for width in widths)} Å wide, and "
            f"vasp-xtb, which samples Γ only, needs {least:g} Å in each direction: raise host.min_image_distance"
        )


def grouped_order(structure: Structure) -> list[int]:
    """Order the sites as POSCAR has them, those of one element together.

    Parameters
    ----------
    structure
        n ordered sites.

    Returns
    -------
    list of int
        Their indices, a permutation of ``range(n)``: elements in the order of their first appearance, sites of one in their own
        order.
    """
    elements = _elements(structure)
    return sorted(range(len(structure)), key=lambda index: elements.index(structure[index].specie.symbol))


def write_inputs(structure: Structure, method: ReferenceMethod, directory: Path) -> None:
    """Write POSCAR, INCAR, KPOINTS and POTCAR.

    Parameters
    ----------
    structure
        n ordered sites; written in the order of ``grouped_order``, with 16 decimals.
    method
        From ``reference_method`` for a structure with the same elements.
    directory
        Made if it does not exist.

    Raises
    ------
    ReferenceInputError
        If an element has no POTCAR in ``method``, or the POTCAR library has changed since.
    """
    identities = {identity.element: identity for identity in method.potcars}
    texts = []
    for element in _elements(structure):
        if element not in identities:
            raise ReferenceInputError(
                f"{structure.formula}: no POTCAR of {element}; the method has {sorted(identities)}"
            )
        chosen = identities[element]
        found, text = read_potcar(element, symbol=chosen.symbol, functional=chosen.functional)
        if found != chosen:
            raise ReferenceInputError(
                f"POTCAR {chosen.symbol!r} ({chosen.functional}) has changed: {chosen} became {found}"
            )
        texts.append(text)
    grouped = Structure.from_sites([structure[index] for index in grouped_order(structure)])
    poscar = Poscar(grouped, comment=f"{grouped.formula}, {method.level_of_theory}")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "POSCAR").write_text(poscar.get_str(significant_figures=16), encoding="utf-8")
    (directory / "INCAR").write_text(Incar(dict(method.incar)).get_str(), encoding="utf-8")
    (directory / "KPOINTS").write_text(method.kpoints, encoding="utf-8")
    (directory / "POTCAR").write_text("".join(texts), encoding="utf-8")


def _elements(structure: Structure) -> list[str]:
    """Return the elements in the order of their first appearance."""
    if not structure.is_ordered:
        raise ReferenceInputError(f"{structure.formula}: has partially occupied sites, which VASP cannot treat")
    return list(dict.fromkeys(site.specie.symbol for site in structure))
