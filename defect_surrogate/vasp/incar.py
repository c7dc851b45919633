"""INCAR: the defaults of the settings, changed by the user, checked tag by tag before any time is spent."""

import warnings
from collections.abc import Mapping

from pymatgen.io.vasp.inputs import Incar

from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.settings import IncarValue
from defect_surrogate.vasp_xtb.incar import METHODS

STAND_IN_TAGS = ("XTB_METHOD", "XTB_MIN_WIDTH")
"""Tags of ``vasp-xtb`` that VASP does not have."""

_SYNTAX = "\n\r;#!=\\"
"""Characters with a meaning in INCAR's grammar: in a value they would start another tag or hide what follows."""


def merged_incar(
    defaults: Mapping[str, IncarValue], overrides: Mapping[str, IncarValue], *, stand_in: bool
) -> dict[str, IncarValue]:
    """Merge and check INCAR tags.

    Parameters
    ----------
    defaults
        Tags of this kind of cell.
    overrides
        The user's, in any case.
    stand_in
        Whether ``vasp-xtb`` reads them, which has tags of its own.

    Returns
    -------
    dict
        Upper-case tags with values of the type VASP reads.

    Raises
    ------
    ReferenceInputError
        Naming tag and value, if VASP does not know the tag, the value has the wrong type or is none of those it
        offers, or if NELECT is given, which follows from the charge.
    """
    changes = {tag.strip().upper(): value for tag, value in overrides.items()}
    for tag, value in changes.items():
        if tag == "NELECT":
            raise ReferenceInputError(f"INCAR: NELECT = {value}: follows from vacancies.charge and must not be given")
        if tag in STAND_IN_TAGS and not stand_in:
            raise ReferenceInputError(f"INCAR: {tag} = {value}: is a tag of vasp-xtb, and the executable is VASP")
        if any(character in str(value) for character in _SYNTAX):
            raise ReferenceInputError(f"INCAR: {tag} = {value!r}: holds a character with a meaning in INCAR's grammar")
    return _checked(dict(defaults) | changes)


def _checked(tags: dict[str, IncarValue]) -> dict[str, IncarValue]:
    """Return tags as VASP would read them, or raise."""
    own = {tag: tags.pop(tag) for tag in STAND_IN_TAGS if tag in tags}
    if "XTB_METHOD" in own and str(own["XTB_METHOD"]).upper() not in (method.upper() for method in METHODS):
        raise ReferenceInputError(f"INCAR: XTB_METHOD = {own['XTB_METHOD']}: must be one of {', '.join(METHODS)}")
    if not isinstance(own.get("XTB_MIN_WIDTH", 10.0), int | float):
        raise ReferenceInputError(f"INCAR: XTB_MIN_WIDTH = {own['XTB_MIN_WIDTH']}: must be a length in Å")
    checked: dict[str, IncarValue] = {}
    for tag, value in tags.items():
        try:
            incar = Incar.from_str(Incar({tag: value}).get_str())
        except ValueError as error:
            raise ReferenceInputError(f"INCAR: {tag} = {value}: {error}") from error
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            incar.check_params()
        if complaints or list(incar) != [tag]:
            reason = "; ".join(str(complaint.message) for complaint in complaints) or "cannot be read"
            raise ReferenceInputError(f"INCAR: {tag} = {value}: {reason}")
        if isinstance(value, int | float) and incar[tag] != value:
            raise ReferenceInputError(f"INCAR: {tag} = {value}: would be read as {incar[tag]}")
        checked[tag] = incar[tag]
    return checked | own
