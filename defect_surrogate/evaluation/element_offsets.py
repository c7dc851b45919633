"""Element references of a force field updated to the level of a dataset.

A force field of another level of theory than the dataset, an untuned one say, is off in its absolute energies by about a
constant for each atom of an element. These constants can be fitted to the bulk frames, which shows what error is left when
the element references are updated, as in Supplementary Table 11 of Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9;
``MP(ref)``). Forces, stresses and the relative energies of a defect do not depend on them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.errors import DatasetError
from defect_surrogate.surrogates import Predictions


def element_offsets(predictions: Predictions, dataset: Dataset) -> dict[str, float]:
    """Fit one offset for each element to the bulk frames, by least squares of the errors per atom.

    Parameters
    ----------
    predictions
        For the frames of ``dataset``, in their order.
    dataset
        Frames at the reference level.

    Returns
    -------
    dict of str to float
        What is to be added for each atom of an element, by symbol, eV. Where the bulk frames do not tell elements apart, the
        solution of least norm.

    Raises
    ------
    DatasetError
        If there is no bulk frame with one of the elements.
    """
    check_bulk_frames(dataset)
    bulk = [i for i, frame in enumerate(dataset.frames) if frame.is_bulk]
    frames = [dataset.frames[i] for i in bulk]
    counts = _counts(frames, dataset.elements)
    atoms = counts.sum(axis=1)
    errors = np.array([frame.energy for frame in frames]) - predictions.energies[bulk]
    offsets = np.linalg.lstsq(counts / atoms[:, None], errors / atoms)[0]
    return {element: float(offset) for element, offset in zip(dataset.elements, offsets, strict=True)}


def check_bulk_frames(dataset: Dataset) -> None:
    """Refuse, before anything is predicted, a dataset to whose bulk frames no offsets can be fitted.

    Parameters
    ----------
    dataset
        Frames at the reference level.

    Raises
    ------
    DatasetError
        If there is no bulk frame with one of the elements.
    """
    known = {symbol for frame in dataset.frames if frame.is_bulk for symbol in frame.symbols}
    if absent := [element for element in dataset.elements if element not in known]:
        raise DatasetError(f"no bulk frame with {', '.join(absent)}: the reference energy cannot be updated")


def shifts(frames: Sequence[LabelledFrame], offsets: Mapping[str, float]) -> NDArray[np.float64]:
    """Return what the offsets of the elements (eV per atom) add to the energies of k frames, shape (k,), eV."""
    added: NDArray[np.float64] = _counts(frames, tuple(offsets)) @ np.array(list(offsets.values()))
    return added


def _counts(frames: Sequence[LabelledFrame], elements: Sequence[str]) -> NDArray[np.float64]:
    """Atoms of each element in each frame, shape (k, m)."""
    counts = np.zeros((len(frames), len(elements)))
    for i, frame in enumerate(frames):
        for j, element in enumerate(elements):
            counts[i, j] = np.count_nonzero(frame.numbers == atomic_numbers[element])
    return counts
