"""POTCAR: read what vasp-xtb needs of one, and make a licence-free stand-in that says what it is.

vasp-xtb uses no pseudopotential. From a POTCAR it takes the order of the species and their valence charges,
whose sum minus NELECT is the charge of the cell; so a VASP input set with VASP's own NELECT gives the same charge.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ase.data import atomic_masses, atomic_numbers

from .errors import VaspXtbStop

VALENCE_ELECTRONS = (
    *(1, 2),
    *(1, 2, 3, 4, 5, 6, 7, 8),
    *(1, 2, 3, 4, 5, 6, 7, 8),
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3, 4, 5, 6, 7, 8),
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3, 4, 5, 6, 7, 8),
    *(1, 2, *(3,) * 15, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3, 4, 5, 6, 7, 8),
)
"""Valence electrons of H to Rn in GFN1-xTB (doi:10.1021/acs.jctc.7b00118) and GFN2-xTB, as tblite counts them."""

_ENMAX = 250.0
"""eV. There is no plane wave here; a number for the input generators that want one."""


@dataclass(frozen=True)
class Potential:
    """One data set of a POTCAR: title, element, valence charge."""

    titel: str
    header: str
    element: str
    zval: float


def standin_potcar(symbols: Sequence[str]) -> str:
    """Return the text of a stand-in POTCAR.

    Parameters
    ----------
    symbols
        Names of potentials in the order of the POSCAR: an element (``Cd``) or an element with VASP's suffix (``Ga_d``).

    Returns
    -------
    str
        Text that pymatgen, doped and ShakeNBreak read as a POTCAR; TITEL carries ``STANDIN-XTB`` for the date.
        pymatgen warns that the potential is unknown to it, as it should.

    Raises
    ------
    ValueError
        If a symbol is no element from H to Rn.
    """
    return "".join(_dataset(symbol) for symbol in symbols)


def read_potcar(path: Path) -> tuple[Potential, ...]:
    """Read the data sets of a POTCAR, stand-in or VASP's own, in order.

    Raises
    ------
    VaspXtbStop
        If there is none, or one without TITEL, VRHFIN or ZVAL.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    sections = [section for section in text.split("End of Dataset") if section.strip()]
    if not sections:
        raise VaspXtbStop(f"{path.name} holds no data set")
    return tuple(_potential(section, number, path.name) for number, section in enumerate(sections, start=1))


def _dataset(symbol: str) -> str:
    element = symbol.split("_", maxsplit=1)[0]
    number = atomic_numbers.get(element, 0)
    if not 1 <= number <= len(VALENCE_ELECTRONS):
        raise ValueError(f"no stand-in POTCAR for {symbol!r}: GFN-xTB has parameters for H to Rn")
    titel = f"PAW_PBE {symbol} STANDIN-XTB"
    zval = float(VALENCE_ELECTRONS[number - 1])
    return "\n".join(
        (
            f"  {titel}",
            f"   {zval:.8f}",
            " parameters from PSCTR are:",
            f"   VRHFIN ={element}: GFN-xTB valence, no pseudopotential",
            "   LEXCH  = PE",
            "   EATOM  =     0.0000 eV",
            f"   TITEL  = {titel}",
            "   LULTRA =        F    use ultrasoft PP ?",
            "   IUNSCR =        0    unscreen: 0-lin 1-nonlin 2-no",
            f"   POMASS = {atomic_masses[number]:8.3f}; ZVAL   = {zval:8.3f}    mass and valenz",
            f"   ENMAX  = {_ENMAX:8.3f}; ENMIN  = {0.75 * _ENMAX:8.3f} eV",
            "   LCOR   =        T    correct aug charges",
            "   LPAW   =        T    paw PP",
            "END of PSCTR-controll parameters",
            f"   {zval:.8f}",
            " End of Dataset\n",
        )
    )


def _potential(section: str, number: int, name: str) -> Potential:
    found = {key: re.search(rf"{key}\s*=\s*([^;\n]+)", section) for key in ("TITEL", "VRHFIN", "ZVAL")}
    missing = [key for key, match in found.items() if match is None]
    if missing:
        raise VaspXtbStop(f"{name}: data set {number} has no {' and no '.join(missing)}")
    values = {key: match[1].strip() for key, match in found.items() if match is not None}
    element = values["VRHFIN"].split(":")[0].strip()
    if element not in atomic_numbers:
        element = "".join(values["TITEL"].split()[1:2]).split("_")[0]
    try:
        zval = float(values["ZVAL"].split()[0])
    except ValueError as error:
        raise VaspXtbStop(f"{name}: data set {number} has ZVAL = {values['ZVAL']!r}") from error
    return Potential(values["TITEL"], section.strip().splitlines()[0].strip(), element, zval)
