"""Packed files, unpacked within bounds.

A file may unpack to 200 times its size and no more: what people write packs at most about 20 times as small, a bomb
1,000 times. Up to 16 MiB any ratio will do.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from rag.ingest.types import Limits, ReadError

_ANY_RATIO_BYTES = 1 << 24
ZIP_BYTES = 300_000_000
"""That a zip archive may unpack to."""
CAPTION_BYTES = 65_536
_ZIP_MEMBERS = 20_000
_PIECE = 1 << 20
_BUFFER = 1 << 13


def require_ratio(unpacked: int, packed: int, limits: Limits) -> None:
    """Return if so many bytes may come of so many.

    Raises:
        ReadError: they may not.
    """
    if unpacked > max(_ANY_RATIO_BYTES, limits.unpacked_ratio * packed):
        raise ReadError(
            f"unpacks to more than {limits.unpacked_ratio} times its {packed:,} bytes; a bomb? "
            "Unpack it, if it is what it should be"
        )


def opened(path: Path) -> io.BufferedReader:
    """A file, unpacked if it is packed: buffered, so that it can be looked ahead in."""
    if path.suffix.lower() == ".gz":
        return io.BufferedReader(cast(io.RawIOBase, gzip.open(path)), _BUFFER)
    return io.BufferedReader(path.open("rb", buffering=0), _BUFFER)


def content_of(path: Path, limits: Limits) -> bytes:
    """All that a file holds, unpacked if it is packed."""
    return gunzipped(path, limits) if path.suffix.lower() == ".gz" else path.read_bytes()


def caption_of(path: Path | None, limits: Limits) -> str:
    """What a file beside another says of it, as one line; empty where there is none.

    Raises:
        ReadError: it is too large for a caption.
    """
    if path is None:
        return ""
    data = path.read_bytes()
    if len(data) > CAPTION_BYTES:
        raise ReadError(f"the caption '{path.name}' has {len(data):,} bytes, more than {CAPTION_BYTES:,}; shorten it")
    return " ".join(data.decode("utf-8-sig", "replace").split())


def gunzipped(path: Path, limits: Limits) -> bytes:
    """What a .gz holds, which may be as large as a file.

    A zip archive in it is held to the ratio by the bytes of the .gz: two packings may not give what one may not.

    Raises:
        ReadError: it holds more, or is damaged.
    """
    packed, unpacked, pieces = path.stat().st_size, 0, list[bytes]()
    with damage_told(), gzip.open(path) as file:
        while piece := file.read(_PIECE):
            unpacked += len(piece)
            require_ratio(unpacked, packed, limits)
            if unpacked > limits.file_bytes:
                raise ReadError(f"more than {limits.file_bytes:,} bytes unpacked, the limit of a file; split it")
            pieces.append(piece)
    data = b"".join(pieces)
    require_inner_ratio(data, packed, limits)
    return data


def require_inner_ratio(data: bytes, packed: int, limits: Limits) -> None:
    """Return if what came of so many packed bytes may unpack once more, or does not.

    Raises:
        ReadError: it is a zip archive that holds more than they may give.
    """
    if zipfile.is_zipfile(io.BytesIO(data)):
        with opened_zip(data, limits, packed=packed):
            pass


def opened_zip(data: bytes, limits: Limits, *, packed: int | None = None) -> zipfile.ZipFile:
    """A zip archive, which reads no more of a member than it declares.

    Args:
        packed: bytes of the file that the archive came in, where that is smaller.
    Raises:
        ReadError: it is none, or what it declares is above 300 MB, 20,000 members or the ratio.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise ReadError("not a zip archive, which such files are inside") from None
    members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > ZIP_BYTES or len(members) > _ZIP_MEMBERS:
        raise ReadError(
            f"unpacks to {size:,} bytes in {len(members):,} members, above the limit of {ZIP_BYTES:,} "
            f"in {_ZIP_MEMBERS:,}; a zip bomb? Unpack it, if it is what it should be"
        )
    require_ratio(size, len(data) if packed is None else packed, limits)
    return archive


@contextmanager
def damage_told() -> Iterator[None]:
    """Errors of gzip in words."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise ReadError(f"its compression is damaged: {cause}") from None
