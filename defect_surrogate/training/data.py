"""From datasets to what a training learns from: read, cleaned, split by composition, sampled."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from defect_surrogate.dataset.cleaning import drop_high_energies
from defect_surrogate.dataset.direct import direct_sample
from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.dataset.potcars import check_potcars
from defect_surrogate.dataset.sampling import evenly_spaced
from defect_surrogate.dataset.splits import Split, reduced, split_by_composition
from defect_surrogate.dataset.store import read_dataset
from defect_surrogate.dataset.structural_features import structural_features
from defect_surrogate.errors import DatasetError
from defect_surrogate.training.settings import FrameSettings, SplitSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training needs.

    Attributes
    ----------
    level_of_theory
        Of all frames.
    digests
        Of the datasets they come from.
    train
        Frames to fit.
    validation
        Frames that say when to stop: of unseen compositions, and of seen ones.
    unseen
        Compositions for validation that are not in training.
    test
        Frames of compositions that training and validation do not have.
    """

    level_of_theory: str
    digests: tuple[str, ...]
    train: Dataset
    validation: Dataset
    unseen: tuple[str, ...]
    test: Dataset


def training_data(folders: Sequence[str], *, split: SplitSettings, frames: FrameSettings) -> TrainingData:
    """Read datasets and divide their frames.

    Parameters
    ----------
    folders
        Of datasets.
    split
        Which compositions are held out.
    frames
        Which frames of the others are taken.

    Returns
    -------
    TrainingData
        Validation and test frames are sampled evenly, whatever the method of the training frames.

    Raises
    ------
    DatasetError
        If a dataset cannot be read, they differ in level of theory, they cannot be split, or a composition that ``split``
        names is not in them or in two parts.
    """
    datasets = [read_dataset(Path(folder)) for folder in folders]
    cleaned = drop_high_energies(_named(merged(datasets, folders), split), window=frames.energy_window)
    for dropped in cleaned.dropped:
        logger.info("%s", dropped)
    per_relaxation = frames.per_relaxation + (split.seen_per_relaxation or 0)
    even = evenly_spaced(cleaned.dataset, per_relaxation=per_relaxation, bulk_per_host=frames.bulk_per_host)
    parts = split_by_composition(
        even,
        seed=split.seed,
        test=split.test,
        validation=split.validation,
        families=split.families,
        test_share=split.test_fraction,
        validation_share=split.validation_fraction,
        seen_share=split.seen_fraction,
        seen_per_relaxation=split.seen_per_relaxation,
    )
    train = parts.train if frames.method == "evenly spaced" else _by_direct(cleaned.dataset, parts, total=frames.total)
    return TrainingData(
        level_of_theory=even.level_of_theory,
        digests=tuple(dataset.digest for dataset in datasets),
        train=train,
        validation=parts.validation,
        unseen=parts.validation_unseen.compositions,
        test=parts.test,
    )


def merged(datasets: Sequence[Dataset], names: Sequence[str]) -> Dataset:
    """Put datasets at one level of theory together.

    Parameters
    ----------
    datasets
        One or more.
    names
        Where each comes from, for messages.

    Returns
    -------
    Dataset
        All frames, each once.

    Raises
    ------
    DatasetError
        If two differ in level of theory or in the POTCAR of an element, or have a frame of the same name that is not the same.
    """
    for dataset, name in zip(datasets[1:], names[1:], strict=True):
        if dataset.level_of_theory != datasets[0].level_of_theory:
            raise DatasetError(
                f"{names[0]} is at {datasets[0].level_of_theory} and {name} at {dataset.level_of_theory}: "
                "two levels of theory never meet in one training"
            )
    potcars = check_potcars(
        (title, Path(name)) for dataset, name in zip(datasets, names, strict=True) for title in dataset.potcars
    )
    frames: dict[str, LabelledFrame] = {}
    for dataset, name in zip(datasets, names, strict=True):
        for frame in dataset.frames:
            known = frames.setdefault(frame.name, frame)
            if known is not frame and not same(known, frame):
                raise DatasetError(f"{name}: has another {frame.name} than the datasets before it")
    in_order = sorted(frames.values(), key=lambda frame: (frame.host, frame.defect, frame.label, frame.step))
    return replace(datasets[0], frames=tuple(in_order), potcars=potcars)


def same(first: LabelledFrame, second: LabelledFrame) -> bool:
    """Whether two frames hold the same configuration and labels, to 1e-6 of their units (Å, eV, eV/Å)."""
    return np.array_equal(first.numbers, second.numbers) and all(
        np.allclose(getattr(first, name), getattr(second, name), rtol=0, atol=1e-6)
        for name in ("positions", "cell", "energy", "forces")
    )


def _named(dataset: Dataset, split: SplitSettings) -> Dataset:
    """Leave out the compositions that the settings do not name, if they name those of training."""
    if split.training is None:
        return dataset
    training = set(map(reduced, split.training))
    held = set(map(reduced, [*(split.test or ()), *(split.validation or ())]))
    if both := sorted(training & held):
        raise DatasetError(f"split: {', '.join(both)} is in training, and in test or validation too")
    wanted = training | held
    if absent := sorted(wanted - set(dataset.compositions)):
        raise DatasetError(
            f"split: {', '.join(absent)} is not in the data, which have {', '.join(dataset.compositions)}"
        )
    return dataset.select(lambda frame: frame.composition in wanted)


def _by_direct(dataset: Dataset, parts: Split, *, total: int | None) -> Dataset:
    """Replace the defect frames of training by frames of the same compositions that DIRECT chooses."""
    compositions, seen = set(parts.train.compositions), {frame.name for frame in parts.validation_seen.frames}
    candidates = dataset.select(
        lambda frame: not frame.is_bulk and frame.composition in compositions and frame.name not in seen
    )
    bulk = tuple(frame for frame in parts.train.frames if frame.is_bulk)
    count = len(parts.train) - len(bulk) if total is None else total
    chosen = direct_sample(candidates, structural_features(candidates.frames), clusters=count, per_cluster=1)
    return replace(parts.train, frames=chosen.frames + bulk)
