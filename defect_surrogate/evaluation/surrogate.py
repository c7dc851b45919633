"""Errors of a force field on a dataset: of each defect, of all defects, and of the bulk apart."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defect_surrogate.dataset.frames import BULK, Dataset, LabelledFrame
from defect_surrogate.errors import PotentialError
from defect_surrogate.evaluation.element_offsets import element_offsets, shifts
from defect_surrogate.evaluation.ensemble import EnsembleFigures, ensemble_figures
from defect_surrogate.metrics import (
    LOW_ENERGY,
    Errors,
    energy_errors,
    force_errors,
    mean_of_known,
    pooled,
    relative_energy_errors,
    spearman,
    stress_errors,
)
from defect_surrogate.surrogates import Predictions


@dataclass(frozen=True)
class Figures:
    """Errors of a force field on a set of frames; None where there is nothing to compare.

    Attributes
    ----------
    frames
        Number of frames.
    defects
        Number of defects they are of; the bulk is none.
    energy
        Of absolute energies, meV/atom.
    energy_references_updated
        The same after the fit of the element references, meV/atom; None unless it was asked for.
    forces
        Of the components of the forces, meV/Å.
    stress
        Of the components of the stress, GPa.
    relative_energy
        Of the energies of each defect relative to its ground state, meV/atom.
    low_energy
        The same for configurations less than 5 eV above the ground state, meV/atom.
    spearman
        Rank correlation of the energies, dimensionless: that of one defect, or its mean over defects.
    unranked
        Number of defects without a rank correlation, which that mean leaves out.
    """

    frames: int
    defects: int
    energy: Errors | None
    energy_references_updated: Errors | None
    forces: Errors | None
    stress: Errors | None
    relative_energy: Errors | None
    low_energy: Errors | None
    spearman: float | None
    unranked: int


@dataclass(frozen=True)
class GroupFigures:
    """Errors on the frames of one defect, or of one host without a defect.

    Attributes
    ----------
    host
        Name of the host.
    composition
        Its reduced formula.
    defect
        Name and charge, or ``bulk``.
    learnt
        Whether the force field was trained or validated on this composition; None where that is not known.
    figures
        Errors.
    """

    host: str
    composition: str
    defect: str
    learnt: bool | None
    figures: Figures


@dataclass(frozen=True)
class Evaluation:
    """Errors of a force field on a dataset.

    Attributes
    ----------
    potential
        Name or path of the force field.
    potential_digest
        SHA-256 of its weights.
    potential_level_of_theory
        In words.
    dataset_digest
        SHA-256 of level of theory and frames of the dataset.
    level_of_theory
        Of the dataset, in words.
    element_offsets
        What was added to the energy for each atom of an element to update the references, by symbol, eV per atom; None unless
        that was asked for.
    defects
        Over the frames of all defects.
    unseen
        Over the frames of all defects in compositions that the force field was neither trained nor validated on; None where
        these are not known.
    bulk
        Over all frames without a defect.
    groups
        Of each defect and of the bulk of each host, in the order of the dataset. A defect in supercells of two compositions
        is two: their energies cannot be compared.
    ensemble
        Disagreement of its members; None for a single model.
    """

    potential: str
    potential_digest: str
    potential_level_of_theory: str
    dataset_digest: str
    level_of_theory: str
    element_offsets: dict[str, float] | None
    defects: Figures
    unseen: Figures | None
    bulk: Figures
    groups: tuple[GroupFigures, ...]
    ensemble: EnsembleFigures | None = None


def evaluate(
    predictions: Predictions,
    dataset: Dataset,
    *,
    update_references: bool = False,
    learnt: Collection[str] | None = None,
    others: Sequence[Predictions] = (),
) -> Evaluation:
    """Compare what a force field predicts with what the reference has.

    Parameters
    ----------
    predictions
        For the frames of ``dataset``, in their order.
    dataset
        Frames at the reference level.
    update_references
        Fit one offset for each element to the bulk frames too, by least squares of the errors per atom. Where the bulk frames
        do not tell elements apart, as in a single compound, the solution of least norm is taken.
    learnt
        Compositions that the force field was trained or validated on; None where they are not known.
    others
        For the same frames, of the other members of an ensemble.

    Returns
    -------
    Evaluation
        Errors of each group and of all.

    Raises
    ------
    PotentialError
        If a prediction is not finite; names the frame.
    DatasetError
        If references are to be updated and there is no bulk frame with one of the elements.
    ValueError
        If there are not as many predictions as frames.
    """
    if len(predictions.energies) != len(dataset):
        raise ValueError(f"{len(predictions.energies)} predictions cannot be compared with {len(dataset)} frames")
    for one in (predictions, *others):
        _check_finite(one, dataset)
    offsets = element_offsets(predictions, dataset) if update_references else None
    indices: dict[tuple[object, ...], list[int]] = {}
    for i, frame in enumerate(dataset.frames):
        indices.setdefault((frame.host,) if frame.is_bulk else frame.comparable, []).append(i)
    groups = [_group(predictions, dataset, own, offsets=offsets, learnt=learnt) for own in indices.values()]
    return Evaluation(
        potential=predictions.potential,
        potential_digest=predictions.digest,
        potential_level_of_theory=predictions.level_of_theory,
        dataset_digest=dataset.digest,
        level_of_theory=dataset.level_of_theory,
        element_offsets=offsets,
        defects=pooled_figures([group.figures for group in groups if group.defect != BULK]),
        unseen=None
        if learnt is None
        else pooled_figures([group.figures for group in groups if group.defect != BULK and not group.learnt]),
        bulk=pooled_figures([group.figures for group in groups if group.defect == BULK]),
        groups=tuple(groups),
        ensemble=ensemble_figures([predictions, *others], dataset) if others else None,
    )


def pooled_figures(parts: Sequence[Figures]) -> Figures:
    """Errors over several groups.

    Parameters
    ----------
    parts
        Figures of disjoint sets of frames.

    Returns
    -------
    Figures
        Errors as if taken over all frames at once; the rank correlation is the mean over the parts that have one.
    """
    return Figures(
        frames=sum(part.frames for part in parts),
        defects=sum(part.defects for part in parts),
        energy=pooled(part.energy for part in parts),
        energy_references_updated=pooled(part.energy_references_updated for part in parts),
        forces=pooled(part.forces for part in parts),
        stress=pooled(part.stress for part in parts),
        relative_energy=pooled(part.relative_energy for part in parts),
        low_energy=pooled(part.low_energy for part in parts),
        spearman=mean_of_known(part.spearman for part in parts),
        unranked=sum(part.unranked for part in parts),
    )


def _group(
    predictions: Predictions,
    dataset: Dataset,
    indices: Sequence[int],
    *,
    offsets: Mapping[str, float] | None,
    learnt: Collection[str] | None,
) -> GroupFigures:
    frame = dataset.frames[indices[0]]
    return GroupFigures(
        host=frame.host,
        composition=frame.composition,
        defect=frame.defect,
        learnt=None if learnt is None else frame.composition in learnt,
        figures=_figures(predictions, dataset, indices, offsets),
    )


def _figures(
    predictions: Predictions, dataset: Dataset, indices: Sequence[int], offsets: Mapping[str, float] | None
) -> Figures:
    frames = [dataset.frames[i] for i in indices]
    predicted = predictions.energies[indices]
    reference = np.array([frame.energy for frame in frames])
    atoms = np.array([len(frame.numbers) for frame in frames])
    is_defect = not frames[0].is_bulk
    correlation = spearman(predicted, reference) if is_defect else None
    updated = None
    if offsets is not None:
        updated = energy_errors(predicted + shifts(frames, offsets), reference, atoms=atoms)
    return Figures(
        frames=len(frames),
        defects=int(is_defect),
        energy=energy_errors(predicted, reference, atoms=atoms),
        energy_references_updated=updated,
        forces=force_errors([predictions.forces[i] for i in indices], [frame.forces for frame in frames]),
        stress=stress_errors(predictions.stresses[indices], np.array([_stress(frame) for frame in frames])),
        relative_energy=relative_energy_errors(predicted, reference, atoms=atoms) if is_defect else None,
        low_energy=relative_energy_errors(predicted, reference, atoms=atoms, below=LOW_ENERGY) if is_defect else None,
        spearman=correlation,
        unranked=int(is_defect and correlation is None),
    )


def _stress(frame: LabelledFrame) -> NDArray[np.float64]:
    return np.full((3, 3), np.nan) if frame.stress is None else frame.stress


def _check_finite(predictions: Predictions, dataset: Dataset) -> None:
    for frame, energy, forces in zip(dataset.frames, predictions.energies, predictions.forces, strict=True):
        if not np.isfinite(energy) or not np.isfinite(forces).all():
            raise PotentialError(
                f"{predictions.potential}: energy {energy:g} eV or a force of {frame.name} is not finite"
            )
