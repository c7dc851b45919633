"""What the members of an ensemble make of a dataset: their disagreement beside the errors of the first, which searches use."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defect_surrogate.dataset.frames import Dataset
from defect_surrogate.metrics import Uncertainty, uncertainty, vector_uncertainty
from defect_surrogate.surrogates import Predictions


@dataclass(frozen=True)
class EnsembleFigures:
    """Disagreement of an ensemble on the frames with a defect.

    Attributes
    ----------
    members
        Number of members.
    forces
        Of the components of the forces, by frame, meV/Å; None without a frame with a defect.
    relative_energy
        Of the energies relative to the ground state of their defect, which is not counted, meV/atom; None without one.
    """

    members: int
    forces: Uncertainty | None
    relative_energy: Uncertainty | None


def ensemble_figures(members: Sequence[Predictions], dataset: Dataset) -> EnsembleFigures:
    """Compare the disagreement of an ensemble with the errors of its first member.

    Parameters
    ----------
    members
        Predictions of m ≥ 2 members for the frames of ``dataset``, in their order.
    dataset
        Frames at the reference level; those with a defect count.

    Returns
    -------
    EnsembleFigures
        Over all defects.

    Raises
    ------
    ValueError
        With fewer than two members, or if there are not as many predictions as frames.
    """
    if len(members) < 2 or any(len(one.energies) != len(dataset) for one in members):
        raise ValueError(f"{len(members)} members for {len(dataset)} frames cannot be compared")
    with_defect = [i for i, frame in enumerate(dataset.frames) if not frame.is_bulk]
    energies, reference = _relative(members, dataset, with_defect)
    return EnsembleFigures(
        members=len(members),
        forces=vector_uncertainty(
            [[1e3 * one.forces[i] for i in with_defect] for one in members],
            [1e3 * dataset.frames[i].forces for i in with_defect],
        ),
        relative_energy=uncertainty(energies, reference),
    )


def _relative(
    members: Sequence[Predictions], dataset: Dataset, indices: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energies above the ground state of each defect, meV/atom: of the members, (m, k), and of the reference, (k,)."""
    groups: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for i in indices:
        groups[dataset.frames[i].comparable].append(i)
    every = np.array([[frame.energy for frame in dataset.frames], *(one.energies for one in members)])
    columns = [np.empty((len(members) + 1, 0))]
    for group in groups.values():
        ground = min(group, key=lambda i: dataset.frames[i].energy)
        others = [i for i in group if i != ground]
        atoms = len(dataset.frames[ground].numbers)
        columns.append(1e3 * (every[:, others] - every[:, [ground]]) / atoms)
    values = np.concatenate(columns, axis=1)
    return values[1:], values[0]
