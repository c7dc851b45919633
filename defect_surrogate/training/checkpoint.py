"""Publishing a trained model: weights, card and figures into one directory, whole or not at all.

::

    model/
        model.pt  state.pt  model.json   as matgl reads them, weights only
        card.json  README.md             what it is
        curves.svg                       training and validation errors by epoch
        ensemble/2/ …                    other members, if any
"""

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matgl.apps.pes import Potential

from defect_surrogate.archive import durable
from defect_surrogate.errors import ArchiveError
from defect_surrogate.surrogates.card import CARD_FILE, ModelCard, file_digest
from defect_surrogate.training.card_text import card_text
from defect_surrogate.training.models import save_model

ENSEMBLE = "ensemble"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model ready to be published.

    Attributes
    ----------
    potential
        matgl's.
    card
        Without the digests of its files.
    figures
        Further text files by name, such as ``curves.svg``.
    """

    potential: Potential
    card: ModelCard
    figures: dict[str, str]


def publish(members: Sequence[TrainedModel], directory: Path) -> ModelCard:
    """Write a model, and the other members of its ensemble.

    Parameters
    ----------
    members
        The first is the model that a search uses.
    directory
        Where to; made when missing. An earlier model there is replaced.

    Returns
    -------
    ModelCard
        Of the first, with the digests of its files.

    Raises
    ------
    ArchiveError
        If it cannot be written, for example because the disk is full. An earlier model there stays whole.
    """
    staging = directory.parent / f".{directory.name}-{uuid.uuid4().hex[:8]}"
    try:
        card = _write(members[0], staging)
        for number, member in enumerate(members[1:], start=2):
            _write(member, staging / ENSEMBLE / str(number))
        durable.sync_tree(staging)
        _replace(staging, directory)
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        raise ArchiveError(f"{directory}: the model is not saved: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return card


def _write(member: TrainedModel, directory: Path) -> ModelCard:
    directory.mkdir(parents=True)
    save_model(member.potential, directory, level_of_theory=member.card.level_of_theory)
    for name, text in member.figures.items():
        (directory / name).write_text(text, encoding="utf-8")
    files = {path.name: file_digest(path) for path in sorted(directory.iterdir()) if path.is_file()}
    card = member.card.model_copy(update={"files": files})
    (directory / CARD_FILE).write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    (directory / "README.md").write_text(card_text(card), encoding="utf-8")
    return card


def _replace(staging: Path, directory: Path) -> None:
    """Put a directory in the place of another, which is whole until the very last."""
    if not directory.exists():
        os.rename(staging, directory)
        return
    old = staging.with_name(staging.name + "-old")
    os.rename(directory, old)
    os.rename(staging, directory)
    shutil.rmtree(old, ignore_errors=True)
