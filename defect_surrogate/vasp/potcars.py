"""POTCARs: a real one from the user's licensed library, or a stand-in, never one in place of the other.

POTCARs not chosen by the user are those of pymatgen's input set for the same POTCAR release: the Materials Project's
(doi:10.1063/1.4812323) ``MPRelaxSet`` for PBE, ``MPHSERelaxSet`` for PBE_52, ``MPScanRelaxSet`` for PBE_54,
``MP24RelaxSet`` for PBE_64.
"""

import hashlib
import warnings
from dataclasses import dataclass

from pymatgen.core import SETTINGS
from pymatgen.io.vasp.inputs import PotcarSingle
from pymatgen.io.vasp.sets import MP24RelaxSet, MPHSERelaxSet, MPRelaxSet, MPScanRelaxSet

from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.vasp_xtb.potcar import standin_potcar

STAND_IN_MARK = "STANDIN-XTB"
"""In the TITEL of every stand-in POTCAR, and the name of their set."""

_RECOMMENDED: dict[str, dict[str, str]] = {
    "PBE": MPRelaxSet.CONFIG["POTCAR"],
    "PBE_52": MPHSERelaxSet.CONFIG["POTCAR"],
    "PBE_54": MPScanRelaxSet.CONFIG["POTCAR"],
    "PBE_64": MP24RelaxSet.CONFIG["POTCAR"],
}


@dataclass(frozen=True)
class PotcarIdentity:
    """Which POTCAR an element has.

    Attributes
    ----------
    element
        Symbol of the element.
    symbol
        Name of the POTCAR, e.g. ``Ga_d``.
    functional
        pymatgen's name of its set, e.g. ``PBE``; ``STANDIN-XTB`` for the stand-in.
    titel
        Its TITEL line, e.g. ``PAW_PBE Ga_d 06Jul2010``.
    valence
        Its number of valence electrons, ZVAL.
    sha256
        Digest of its text.
    """

    element: str
    symbol: str
    functional: str
    titel: str
    valence: float
    sha256: str


def potcar_symbol(element: str, *, functional: str, chosen: dict[str, str]) -> str:
    """Name of the POTCAR of an element: the user's choice, else that of pymatgen's input set.

    Parameters
    ----------
    element
        Symbol of the element.
    functional
        pymatgen's name of the POTCAR set, or ``STANDIN-XTB``, whose names are the elements.
    chosen
        Names chosen by the user.

    Returns
    -------
    str
        E.g. ``Ga_d``.

    Raises
    ------
    ReferenceInputError
        If pymatgen recommends none.
    """
    if element in chosen:
        return chosen[element]
    if functional == STAND_IN_MARK:
        return element
    recommended = _RECOMMENDED.get(functional, {})
    if element not in recommended:
        raise ReferenceInputError(
            f"no recommended POTCAR of {element} for {functional=}: name one in reference.potcar_symbols, e.g. "
            f"{{{element}: {element}}}"
        )
    return recommended[element]


def read_potcar(element: str, *, symbol: str, functional: str) -> tuple[PotcarIdentity, str]:
    """Read one POTCAR from the library of its set, or make a stand-in.

    Parameters
    ----------
    element
        Symbol of the element.
    symbol
        Name of the POTCAR.
    functional
        pymatgen's name of the POTCAR set, or ``STANDIN-XTB``.

    Returns
    -------
    PotcarIdentity
        What it is.
    str
        Its text.

    Raises
    ------
    ReferenceInputError
        If it is missing, is of another element, or a stand-in lies in the library of VASP's.
    """
    potcar = _stand_in(symbol) if functional == STAND_IN_MARK else _from_library(symbol, functional)
    text = str(potcar).strip("\n") + "\n"
    titel = potcar.keywords["TITEL"]
    if potcar.element != element:
        raise ReferenceInputError(f"POTCAR {symbol!r} ({functional}) is of {potcar.element}, not of {element}")
    if (STAND_IN_MARK in titel) != (functional == STAND_IN_MARK):
        raise ReferenceInputError(
            f"POTCAR {symbol!r} ({functional}), {titel!r}, is a stand-in for vasp-xtb and means nothing to VASP: set "
            "PMG_VASP_PSP_DIR to VASP's own library, or reference.vasp_cmd to ['vasp-xtb']"
        )
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return PotcarIdentity(element, symbol, functional, titel, float(potcar.zval), sha256), text


def _stand_in(symbol: str) -> PotcarSingle:
    try:
        text = standin_potcar([symbol])
    except ValueError as error:
        raise ReferenceInputError(f"{symbol}: {error}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen says that it does not know this POTCAR, as it should
        return PotcarSingle(text)


def _from_library(symbol: str, functional: str) -> PotcarSingle:
    library = SETTINGS.get("PMG_VASP_PSP_DIR")
    if functional not in PotcarSingle.functional_dir:
        known = ", ".join(sorted(PotcarSingle.functional_dir))
        raise ReferenceInputError(f"reference.potcar_functional = {functional!r}: pymatgen knows {known}")
    try:
        return PotcarSingle.from_symbol_and_functional(symbol, functional)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ReferenceInputError(
            f"POTCAR {symbol!r} for {functional=} cannot be read from PMG_VASP_PSP_DIR = {library!r}: {reason}. Run "
            "'pmg config -p <VASP's POTCAR folder> <library>' and 'pmg config --add PMG_VASP_PSP_DIR <library>', or set "
            "reference.vasp_cmd to ['vasp-xtb'], which needs none"
        ) from error
