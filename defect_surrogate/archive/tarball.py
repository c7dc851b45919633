"""A ``.tar.xz`` that has the same bytes for the same content, and is read as something a stranger may have made.

Members are plain files in ascending order of their paths, which are relative and go down only. What links, devices, repeated or
escaping names, endless content or damage a file may hold ends in an ``InputError`` that names the file and the member.
"""

import io
import lzma
import os
import tarfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from defect_surrogate.errors import ArchiveError, InputError

MOST_BYTES = 4 * 2**30
"""Most bytes that a file may hold once decompressed; xz can make a file a thousand times as large."""

MOST_MEMBER_BYTES = 64 * 2**20
"""Most bytes of one member: they are read into memory."""

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]
"""For text that is mostly digits: 2 % smaller than the preset alone."""


def write_tarball(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write members into a file, all or nothing.

    Parameters
    ----------
    path
        The file; replaced at once when there is one.
    members
        Names and contents, ascending in path.

    Raises
    ------
    ArchiveError
        If it cannot be written, for example because the disk is full.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with partial.open("wb") as raw:
            with lzma.open(raw, "wb", filters=FILTERS) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
                for name, content in members:
                    member = tarfile.TarInfo(name)  # owner, group and time are 0
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def read_tarball(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read the members of a file that may be damaged or hostile.

    Parameters
    ----------
    path
        The file.

    Yields
    ------
    tuple of str and bytes
        Name and content, ascending in path. A fault further on is found when it is reached: only after the last member is
        the file known to be whole.

    Raises
    ------
    InputError
        If it is no ``.tar.xz``, damaged, truncated or too large, or holds anything but plain files below it in order.
    """
    last = ""
    try:
        with (
            _Bounded(path) as stream,
            tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="strict") as tar,
        ):
            for member in tar:
                if fault := _fault(member, last):
                    raise InputError(f"{path}: {member.name!r}: {fault}")
                content = tar.extractfile(member)
                assert content is not None  # noqa: S101  (a plain file)
                yield member.name, content.read()
                last = member.name
            while rest := stream.read(2**20):
                if rest.strip(b"\0"):
                    raise InputError(f"{path}: goes on after its last member, {last!r}")
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: damaged or no .tar.xz, after member {last!r}: {error}") from error


class _Bounded(lzma.LZMAFile):
    """Refuses to decompress more than the limits, also for headers, which ``tarfile`` reads by itself."""

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes."""
        if size is None or not 0 <= size <= MOST_MEMBER_BYTES or self.tell() + size > MOST_BYTES:
            raise OverflowError(f"holds more than {MOST_BYTES} bytes, or {MOST_MEMBER_BYTES} in one piece")
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place from the start."""
        if whence != io.SEEK_SET or not 0 <= offset <= MOST_BYTES:
            raise OverflowError(f"holds more than {MOST_BYTES} bytes")
        return super().seek(offset, whence)


def _fault(member: tarfile.TarInfo, last: str) -> str | None:
    if not member.isreg() or member.issparse():
        return "is not a plain file"
    if member.name.startswith("/") or "\0" in member.name or {"", ".", ".."} & set(member.name.split("/")):
        return "would leave its folder"
    if member.size > MOST_MEMBER_BYTES:
        return f"has {member.size} bytes, more than the {MOST_MEMBER_BYTES} of any member of a bundle"
    if member.name.split("/") <= last.split("/"):
        return f"stands after {last!r}: members are not in order, or repeated"
    return None
