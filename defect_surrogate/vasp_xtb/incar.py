"""INCAR: VASP's grammar of tags, and the settings that vasp-xtb takes from it.

Grammar as in VASP 6 (https://www.vasp.at/wiki/index.php/INCAR): ``TAG = value``, several on a line between
``;``, a line continued by a backslash, comments after ``#`` or ``!``, tags in any case, the first of a repeated tag wins, words
after the value ignored, lines without ``=`` ignored.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import VaspXtbStop

INTEGER_TAGS = ("NELM", "ISMEAR", "ISPIN", "ISYM", "NSW", "IBRION", "ISIF")
REAL_TAGS = (
    "ENCUT",
    "EDIFF",
    "EDIFFG",
    "SIGMA",
    "SYMPREC",
    "NELECT",
    "NUPDOWN",
    "POTIM",
    "PSTRESS",
    "XTB_MIN_WIDTH",
)
METHODS = ("GFN1-xTB", "GFN2-xTB")
DEFAULT_MIN_WIDTH = 10.0
"""Å. tblite samples Γ only: the 8-atom CdTe cell (6.5 Å) is 0.58 eV/atom off the 64-atom one (13.1 Å)."""


@dataclass(frozen=True)
class Settings:
    """What vasp-xtb takes from the INCAR. Names and units are VASP's: eV, eV/Å, Å; ``tags`` holds every tag as written."""

    tags: tuple[tuple[str, str], ...]
    system: str
    method: str
    min_width: float
    encut: float | None
    ediff: float
    nelm: int
    ismear: int
    sigma: float
    ispin: int
    nupdown: int | None
    nelect: float | None
    nsw: int
    ibrion: int
    potim: float
    ediffg: float
    isif: int
    isym: int
    symprec: float

    @property
    def relaxes(self) -> bool:
        """Whether ions move."""
        return self.nsw > 0 and self.ibrion > 0

    @property
    def moves_cell(self) -> bool:
        """Whether the cell is relaxed with the ions."""
        return self.relaxes and self.isif == 3


def parse_tags(text: str) -> dict[str, str]:
    """Split an INCAR into tags (upper case) and their values as written.

    Parameters
    ----------
    text
        The file.

    Returns
    -------
    dict
        In the order of the file; of a repeated tag the first value.
    """
    without_comments = "\n".join(re.split(r"[#!]", line, maxsplit=1)[0].rstrip() for line in text.splitlines())
    joined = re.sub(r"\\[ \t]*\n", " ", without_comments)
    tags: dict[str, str] = {}
    for statement in re.split(r"[\n;]", joined):
        tag, equals, value = statement.partition("=")
        if equals and tag.strip():
            tags.setdefault(tag.strip().upper(), value.strip())
    return tags


def read_logical(word: str) -> bool:
    """Read a Fortran logical (``.TRUE.``, ``T``, ``.f.`` …).

    Raises
    ------
    ValueError
        If it is none.
    """
    letter = word.strip().lstrip(".")[:1].upper()
    if letter not in ("T", "F"):
        raise ValueError(f"{word!r} is not a logical")
    return letter == "T"


def read_settings(path: Path, *, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read an INCAR.

    Parameters
    ----------
    path
        The file.
    environment
        Where ``XTB_MIN_WIDTH`` is looked up if the INCAR does not set it.

    Raises
    ------
    VaspXtbStop
        If a value cannot be read or is not offered; the message names the tag and the value.
    """
    try:
        tags = parse_tags(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise VaspXtbStop(f"INCAR is not a text file ({error})") from error
    nsw = _integer(tags, "NSW", 0)
    ibrion = _integer(tags, "IBRION", -1 if nsw in (-1, 0) else 0)
    ediff = _real(tags, "EDIFF", 1e-4)
    nelect = _real(tags, "NELECT", -1.0)
    settings = Settings(
        tags=tuple(tags.items()),
        system=tags.get("SYSTEM", "unknown system"),
        method=_method(tags),
        min_width=_min_width(tags, environment),
        encut=_real(tags, "ENCUT", 0.0) or None,
        ediff=ediff,
        nelm=_integer(tags, "NELM", 60),
        ismear=_integer(tags, "ISMEAR", 1),
        sigma=_real(tags, "SIGMA", 0.2),
        ispin=_integer(tags, "ISPIN", 1),
        nupdown=_unpaired(tags),
        nelect=nelect if "NELECT" in tags else None,
        nsw=nsw,
        ibrion=ibrion,
        potim=_real(tags, "POTIM", 0.5),
        ediffg=_real(tags, "EDIFFG", 10 * ediff),
        isif=_integer(tags, "ISIF", 2),
        isym=_integer(tags, "ISYM", 2),
        symprec=_real(tags, "SYMPREC", 1e-5),
    )
    _refuse_what_is_not_offered(settings, pressure=_real(tags, "PSTRESS", 0.0))
    return settings


def _refuse_what_is_not_offered(settings: Settings, *, pressure: float) -> None:
    """Stop on values that vasp-xtb cannot honour."""
    checks = (
        (settings.nsw >= 0, f"NSW = {settings.nsw}: must not be negative"),
        (
            settings.nsw == 0 or settings.ibrion in (-1, 1, 2, 3),
            f"IBRION = {settings.ibrion} with NSW = {settings.nsw}: only -1, 1, 2 and 3 are offered",
        ),
        (
            settings.isif in (0, 1, 2, 3),
            f"ISIF = {settings.isif}: only 0, 1, 2 (ions) and 3 (ions and cell) are offered",
        ),
        (settings.ispin in (1, 2), f"ISPIN = {settings.ispin}: must be 1 or 2"),
        (settings.nelm > 0, f"NELM = {settings.nelm}: must be positive"),
        (settings.ediff > 0, f"EDIFF = {settings.ediff}: must be positive"),
        (settings.symprec > 0, f"SYMPREC = {settings.symprec}: must be positive"),
        (settings.potim > 0, f"POTIM = {settings.potim}: must be positive"),
        (settings.ismear != -1 or settings.sigma > 0, f"SIGMA = {settings.sigma}: must be positive"),
        (settings.min_width > 0, f"XTB_MIN_WIDTH = {settings.min_width}: must be positive"),
        (pressure == 0.0, f"PSTRESS = {pressure}: relaxation under pressure is not offered"),
    )
    for holds, message in checks:
        if not holds:
            raise VaspXtbStop(f"INCAR: {message}")


def _word(tags: Mapping[str, str], tag: str) -> str | None:
    """Return the first word of a tag's value, None if the tag is absent or empty."""
    words = tags.get(tag, "").split()
    return words[0] if words else None


def _integer(tags: Mapping[str, str], tag: str, default: int) -> int:
    word = _word(tags, tag)
    if word is None:
        return default
    try:
        return int(word)
    except ValueError as error:
        raise VaspXtbStop(f"Error reading item '{tag}' from file INCAR: {word!r} is not an integer") from error


def _real(tags: Mapping[str, str], tag: str, default: float) -> float:
    word = _word(tags, tag)
    if word is None:
        return default
    try:
        value = float(word.upper().replace("D", "E"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise VaspXtbStop(f"Error reading item '{tag}' from file INCAR: {word!r} is not a finite number")
    return value


def _unpaired(tags: Mapping[str, str]) -> int | None:
    """Return NUPDOWN if it is set and not negative."""
    value = _real(tags, "NUPDOWN", -1.0)
    return round(value) if value >= 0 else None


def _method(tags: Mapping[str, str]) -> str:
    word = _word(tags, "XTB_METHOD") or METHODS[0]
    for method in METHODS:
        if word.upper() == method.upper():
            return method
    raise VaspXtbStop(f"INCAR: XTB_METHOD = {word}: only {' and '.join(METHODS)} are offered")


def _min_width(tags: Mapping[str, str], environment: Mapping[str, str]) -> float:
    if _word(tags, "XTB_MIN_WIDTH") is not None or "XTB_MIN_WIDTH" not in environment:
        return _real(tags, "XTB_MIN_WIDTH", DEFAULT_MIN_WIDTH)
    return _real(environment, "XTB_MIN_WIDTH", DEFAULT_MIN_WIDTH)
