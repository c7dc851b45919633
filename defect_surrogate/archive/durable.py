"""Writing to a file system so that a power cut leaves the old state or the new one."""

import hashlib
import os
import uuid
from pathlib import Path


def rename_if_absent(source: Path, target: Path) -> bool:
    """Rename a directory unless the target is a directory that is not empty.

    Parameters
    ----------
    source
        Directory to rename.
    target
        Its new path, on the same file system.

    Returns
    -------
    bool
        Whether it was renamed; of two that try at once, one is.

    Raises
    ------
    OSError
        If renaming fails for another reason.
    """
    try:
        os.rename(source, target)
    except OSError:
        if target.is_dir():  # rename(2) never replaces a directory that is not empty
            return False
        raise
    return True


def move_aside(path: Path, folder: Path) -> Path | None:
    """Move a directory into a folder, under a name of its own; None if it is gone, since another process was first."""
    grave = folder / f"{path.name}-{uuid.uuid4().hex[:8]}"
    try:
        os.rename(path, grave)
    except FileNotFoundError:
        return None
    return grave


def write_synced(path: Path, text: str) -> None:
    """Write a text file and wait until it is on the disk."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new one, whole; after a power cut perhaps neither."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def sync_tree(root: Path) -> None:
    """Wait until every file and directory below ``root`` is on the disk."""
    for path in root.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        else:
            sync_directory(path)
    sync_directory(root)


def sync_directory(path: Path) -> None:
    """Wait until the entries of a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
