"""The level of theory in words, from INCAR tags: which functional a VASP run used.

HSE06 is the screened hybrid of Heyd, Scuseria and Ernzerhof (doi:10.1063/1.2404663) with 25 % exact exchange and a
screening of 0.2 Å⁻¹; users write 0.2, 0.207 (0.11 bohr⁻¹) or 0.208. PBE0 is the same without screening
(doi:10.1063/1.478522). Of DFT+U only U - J matters in the form of Dudarev (doi:10.1103/PhysRevB.57.1505), VASP's default.
"""

import math
from collections.abc import Mapping, Sequence

from defect_surrogate.vasp_xtb.incar import METHODS

_GGA = {
    "PE": "PBE",
    "PS": "PBEsol",
    "RP": "RPBE",
    "RE": "revPBE",
    "AM": "AM05",
    "91": "PW91",
    "CA": "LDA",
    "BO": "optB88",
    "MK": "optB86b",
    "OR": "optPBE",
}
_META_GGA = {"R2SCAN": "r2SCAN", "RSCAN": "rSCAN", "RTPSS": "revTPSS", "M06L": "M06-L"}
_DISPERSION = {10: "D2", 1: "D2", 11: "D3", 12: "D3(BJ)", 13: "D4", 2: "TS", 20: "TS", 202: "MBD", 4: "dDsC"}
_UNSET = ("", "--", "NONE", "FALSE")


def functional_name(tags: Mapping[str, object], *, potcar_titles: Sequence[str]) -> str:
    """Name the functional that a set of INCAR tags asks for.

    Parameters
    ----------
    tags
        Tags of an INCAR, or the ``parameters`` of a vasprun.xml; absent ones have VASP's defaults.
    potcar_titles
        TITEL of each POTCAR of the run, e.g. ``PAW_PBE Cd 06Sep2000``, in the order of the species; the first decides
        where GGA is not set, and all say whose U is whose.

    Returns
    -------
    str
        E.g. ``HSE06``, ``PBE0``, ``PBE+U (Fe 4)`` with U - J in eV, ``r2SCAN-D3(BJ)``, ``HSE06+SOC``; ``PBE hybrid
        (AEXX = 0.3, HFSCREEN = 0.2)`` where the mixing is not a named one.
    """
    name = _hybrid(tags, base=_semilocal(tags, next(iter(potcar_titles), "")))
    if _flag(tags, "LDAU"):
        name += f"+U{_hubbard(tags, potcar_titles)}"
    dispersion = int(_number(tags, "IVDW", 0))
    if dispersion:
        name += f"-{_DISPERSION.get(dispersion, f'vdW(IVDW = {dispersion})')}"
    if _flag(tags, "LUSE_VDW"):
        name += "+nonlocal vdW"
    if _flag(tags, "LSORBIT"):
        name += "+SOC"
    return name


def potcar_element(title: str) -> str:
    """Return the element of a POTCAR.

    Parameters
    ----------
    title
        Its TITEL, e.g. ``PAW_PBE Sn_d 06Sep2000``.

    Returns
    -------
    str
        Symbol, e.g. ``Sn``; empty if the title has none.
    """
    return [*title.split(), "", ""][1].partition("_")[0]


def stand_in_level(method: str) -> str:
    """Level of theory of ``vasp-xtb`` in words.

    Parameters
    ----------
    method
        Value of XTB_METHOD, in any case.

    Returns
    -------
    str
        E.g. ``GFN1-xTB (vasp-xtb, stand-in for VASP)``.
    """
    name = next((known for known in METHODS if known.upper() == method.upper()), method)
    return f"{name} (vasp-xtb, stand-in for VASP)"


def _semilocal(tags: Mapping[str, object], potcar_title: str) -> str:
    meta = str(tags.get("METAGGA", "")).strip().upper()
    if meta not in _UNSET:
        return _META_GGA.get(meta, meta)
    gga = str(tags.get("GGA", "")).strip().upper()
    if gga not in _UNSET:
        return _GGA.get(gga, f"GGA = {gga}")
    family = (potcar_title.split() or [""])[0].upper()
    return {"PAW_PBE": "PBE", "PAW_GGA": "PW91", "PAW": "LDA"}.get(family, family or "functional of the POTCAR")


def _hybrid(tags: Mapping[str, object], *, base: str) -> str:
    if not _flag(tags, "LHFCALC"):
        return base
    exchange, screening = _number(tags, "AEXX", 0.25), _number(tags, "HFSCREEN", 0.0)
    if math.isclose(exchange, 1.0) and screening == 0:
        return "HF"
    if base == "PBE" and math.isclose(exchange, 0.25, abs_tol=1e-6):
        if 0.195 <= screening <= 0.21:
            return "HSE06"
        if math.isclose(screening, 0.3, abs_tol=1e-6):
            return "HSE03"
        if screening == 0:
            return "PBE0"
    return f"{base} hybrid (AEXX = {exchange:g}, HFSCREEN = {screening:g})"


def _hubbard(tags: Mapping[str, object], potcar_titles: Sequence[str]) -> str:
    """Say which U each element has: energies with other values have other zeros."""
    repulsion, exchange = _numbers(tags, "LDAUU"), _numbers(tags, "LDAUJ")
    exchange = exchange or [0.0] * len(repulsion)
    if not repulsion or not len(repulsion) == len(exchange) == len(potcar_titles):
        return ""
    elements = [potcar_element(title) for title in potcar_titles]
    parameters = sorted(zip(elements, repulsion, exchange, strict=True))
    if int(_number(tags, "LDAUTYPE", 2)) == 2:
        values = [f"{element} {u - j:g}" for element, u, j in parameters if not math.isclose(u, j)]
    else:
        values = [f"{element} U {u:g} J {j:g}" for element, u, j in parameters if u or j]
    return f" ({', '.join(values)})" if values else ""


def _flag(tags: Mapping[str, object], tag: str) -> bool:
    value = tags.get(tag, False)
    return value if isinstance(value, bool) else str(value).strip().lstrip(".").upper().startswith("T")


def _numbers(tags: Mapping[str, object], tag: str) -> list[float]:
    value = tags.get(tag, [])
    words = value if isinstance(value, list | tuple) else str(value).split()
    try:
        return [float(word) for word in words]
    except (TypeError, ValueError):
        return []


def _number(tags: Mapping[str, object], tag: str, default: float) -> float:
    try:
        return float(str(tags.get(tag, default)).split()[0])
    except (ValueError, IndexError):
        return default
