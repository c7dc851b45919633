"""The pseudopotentials of a dataset: one for each element, since the zeros of the energies of two are eV apart."""

from collections.abc import Iterable
from pathlib import Path

from defect_surrogate.errors import DatasetError
from defect_surrogate.vasp.functional import potcar_element


def check_potcars(found: Iterable[tuple[str, Path]]) -> tuple[str, ...]:
    """Refuse two POTCARs of one element.

    Parameters
    ----------
    found
        Title of each POTCAR, e.g. ``PAW_PBE Cd 06Sep2000``, and the file or dataset it is from.

    Returns
    -------
    tuple of str
        The titles, sorted, each once.

    Raises
    ------
    DatasetError
        Naming the element, both titles and where they are from.
    """
    titles: dict[str, tuple[str, Path]] = {}
    for title, path in found:
        words = " ".join(title.split())
        known, where = titles.setdefault(potcar_element(words), (words, path))
        if words != known:
            raise DatasetError(
                f"two POTCARs of {potcar_element(words)} cannot be in one dataset: {known} in {where}; {words} in {path}"
            )
    return tuple(sorted(words for words, _ in titles.values()))
