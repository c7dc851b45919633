"""Publishing a trained model: weights, card and figures into one directory, whole or not at all.

::

    model/
        model.pt  state.pt  model.json   as matgl reads them, weights only
        card.json  README.md             what it is
        curves.svg                       training and validation errors by epoch
        ensemble/2/ …                    other members, if any
"""

import ctypes
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matgl.apps.pes import Potential

from defect_surrogate.archive import durable
from defect_surrogate.archive.durable import file_digest
from defect_surrogate.errors import ArchiveError, InputError
from defect_surrogate.surrogates.card import CARD_FILE, ENSEMBLE, ModelCard
from defect_surrogate.surrogates.matgl_checkpoints import MATGL_FILES
from defect_surrogate.training.card_text import card_text
from defect_surrogate.training.models import save_model

README = "README.md"
CURVES = "curves.svg"

OWN = {*MATGL_FILES, CARD_FILE, README, CURVES, ENSEMBLE}
"""All that a published model consists of."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model ready to be published.

    Attributes
    ----------
    potential
        matgl's.
    card
        Without the digests of its files.
    curves
        SVG of its training and that of the others; None for another member of an ensemble.
    """

    potential: Potential
    card: ModelCard
    curves: str | None


def check_replaceable(directory: Path) -> None:
    """Refuse to publish where something else would be lost.

    Parameters
    ----------
    directory
        Where a model is to be published.

    Raises
    ------
    InputError
        If it is a file, or holds something that is not of a model published earlier.
    """
    if not directory.exists():
        return
    found = {path.name for path in directory.iterdir()} if directory.is_dir() else {directory.name}
    if strays := sorted(found - OWN if CARD_FILE in found else found):
        raise InputError(
            f"{directory}: holds {', '.join(strays[:3])}, which a model would replace; choose another folder"
        )


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
    InputError
        If something else would be lost.
    ArchiveError
        If it cannot be written, for example because the disk is full. An earlier model there stays whole.
    """
    check_replaceable(directory)
    staging = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)  # of a publication that was killed
    try:
        card = _write(members[0], staging)
        for number, member in enumerate(members[1:], start=2):
            _write(member, staging / ENSEMBLE / str(number))
        durable.sync_tree(staging)
        _put(staging, directory)
        durable.sync_directory(directory.parent)
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError that does not say so
        raise ArchiveError(f"{directory}: the model is not saved; is the disk full? {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return card


def _write(member: TrainedModel, directory: Path) -> ModelCard:
    directory.mkdir(parents=True)
    save_model(member.potential, directory, level_of_theory=member.card.level_of_theory)
    if member.curves is not None:
        (directory / CURVES).write_text(member.curves, encoding="utf-8")
    files = {path.name: file_digest(path) for path in sorted(directory.iterdir()) if path.is_file()}
    card = member.card.model_copy(update={"files": files})
    (directory / CARD_FILE).write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    (directory / README).write_text(card_text(card), encoding="utf-8")
    return card


def _put(staging: Path, directory: Path) -> None:
    """Rename a directory; one that is there already takes its name in the same instant, where the file system can."""
    if not directory.exists():
        os.rename(staging, directory)
    elif not _exchange(staging, directory):
        old = staging.with_suffix(".old")
        os.rename(directory, old)
        try:
            os.rename(staging, directory)
        except OSError:
            os.rename(old, directory)
            raise
        os.rename(old, staging)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths by Linux's renameat2, and say whether that was done."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return renameat2 is not None and renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0
