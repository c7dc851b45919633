"""Energies of the elements that are subtracted before a force field is fitted, so that it learns what binding changes.

Three ways (Supplementary Table 2 of doi:10.1038/s41524-024-01303-9): linear regression on bulk frames, the best there; on
defect frames, which mixes in formation energies; energies of isolated atoms. In all of them what the network already says of
the interactions is left out of the fit: zero for a new network, and for a base model of another level of theory its
prediction, which turns its energies into those of the new level as far as a shift of each element can.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from defect_surrogate.dataset.frames import LabelledFrame
from defect_surrogate.errors import DatasetError

logger = logging.getLogger(__name__)


def fitted(
    frames: Sequence[LabelledFrame],
    *,
    elements: Sequence[str],
    interactions: NDArray[np.float64] | None = None,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Fit one energy for each element to the energies of frames by least squares.

    Parameters
    ----------
    frames
        k frames, with or without a defect.
    elements
        Symbols, in the order of the result.
    interactions
        What the network says of each frame without reference energies, shape (k,), eV; zero when None.
    start
        Energies that the fit stays closest to where frames do not tell elements apart, eV, in the order of ``elements``; zero
        when None.

    Returns
    -------
    ndarray
        eV for an atom of each element; that of ``start`` for an element in no frame.

    Raises
    ------
    DatasetError
        If there is no frame, or one has an element that is not asked for.
    """
    if not frames:
        raise DatasetError("reference energies: no frame to fit them to")
    counts = np.array([_counts(frame, elements) for frame in frames], dtype=np.float64)
    energies = np.array([frame.energy for frame in frames])
    before = np.zeros(len(elements)) if start is None else start
    rest = energies - counts @ before - (0.0 if interactions is None else interactions)
    atoms = counts.sum(axis=1, keepdims=True)
    change, _, rank, _ = np.linalg.lstsq(counts / atoms, rest / atoms[:, 0], rcond=1e-8)
    present = [symbol for symbol, count in zip(elements, counts.sum(axis=0), strict=True) if count]
    if start is None and rank < len(present):
        logger.warning(
            "reference energies of %d elements (%s) from frames of only %d independent compositions: removing an atom may "
            "seem to cost tens of eV; give isolated_atoms, which the fit then stays close to",
            *(len(present), ", ".join(present), rank),
        )
    result: NDArray[np.float64] = before + change
    return result


def isolated(energies: Mapping[str, float], *, elements: Sequence[str]) -> NDArray[np.float64]:
    """Order the energies of isolated atoms.

    Parameters
    ----------
    energies
        eV of an isolated atom at the reference level, by symbol.
    elements
        Symbols, in the order of the result.

    Returns
    -------
    ndarray
        eV for an atom of each element.

    Raises
    ------
    DatasetError
        Naming the elements that have none.
    """
    missing = [symbol for symbol in elements if symbol not in energies]
    if missing:
        raise DatasetError(f"isolated_atoms: no energy of {', '.join(missing)}")
    return np.array([energies[symbol] for symbol in elements])


def _counts(frame: LabelledFrame, elements: Sequence[str]) -> list[int]:
    unknown = sorted(set(frame.symbols) - set(elements))
    if unknown:
        raise DatasetError(f"{frame.name}: {', '.join(unknown)} is none of the model's elements {', '.join(elements)}")
    return [int((frame.numbers == Element(symbol).Z).sum()) for symbol in elements]
