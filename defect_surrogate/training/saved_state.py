"""The file of an unfinished training: the last state or the one before it, checked, and read without running code.

torch.load takes no notice of checksums, so that a flipped bit in a weight would go on unseen; they are looked at here.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from defect_surrogate.errors import ArchiveError, TrainingError
from defect_surrogate.surrogates.matgl_checkpoints import DAMAGE, check_whole

STATE_FILE = "training.pt"


def save_state(folder: Path, content: dict[str, Any]) -> None:
    """Write a state.

    Parameters
    ----------
    folder
        Made when missing.
    content
        Tensors and plain values by name; ``identity`` is the digest of all inputs of the training.

    Raises
    ------
    ArchiveError
        If it cannot be written, for example because the disk is full. The last saved one stays whole.
    """
    partial = folder / f".{STATE_FILE}"
    buffer = io.BytesIO()  # in which torch cannot fail, who would not say that a disk is full
    torch.save(content, buffer)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(buffer.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(folder / STATE_FILE)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ArchiveError(f"{folder / STATE_FILE}: the state of the training is not saved: {error}") from error


@contextlib.contextmanager
def saved_state(folder: Path, *, identity: str, device: torch.device) -> Iterator[dict[str, Any] | None]:
    """Read a state; what goes wrong while it is used is a fault of its file.

    Parameters
    ----------
    folder
        Where it was saved.
    identity
        Of the training that is to be continued.
    device
        Where the tensors go.

    Yields
    ------
    dict or None
        As it was saved; None if there is none.

    Raises
    ------
    TrainingError
        If it is damaged, or of a training with another identity.
    """
    path = folder / STATE_FILE
    if not path.exists():
        yield None
        return
    try:
        check_whole(path)
        content = torch.load(path, map_location=device, weights_only=True)
        if content["identity"] != identity:
            raise TrainingError(f"{path}: the state of a training with other data or settings; choose another folder")
        yield content
    except DAMAGE as error:
        raise TrainingError(f"{path}: cannot be continued, and can be deleted to start anew: {error}") from error
