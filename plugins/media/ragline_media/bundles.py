"""An index with its contents as one file, and back: every byte of the file is checked before any is written.

The file is a plain tar of the generation that is open now and of the parts that it lists, names in order, without owners and
times, and the sha256 of all that behind it, as 64 letters. What older generations held, and what is being built, is not in
it. So a bundle is refused whole if a byte of it changed. The digest says that it is whole; it does not say by whom it is.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from rag.errors import IndexProblem, SpecError
from rag.indexes import LocalIndex

_CURRENT, _MARK = "CURRENT", "ragline.lock"
"""The file that says which generation is current, and the empty one by which a build knows the folder of an index."""

_DIGEST = 64
_BLOCK = 1 << 20


def bundle(index: Path, file: Path) -> str:
    """Write an index into a file, which must not be there, and return the sha256 of what it holds.

    While it is written the index may be asked and changed: what is bundled is what it was at the beginning.

    Raises:
        IndexProblem: there is no index, or it cannot be opened.
        SpecError: the file is there.
    """
    _require_new(file)
    with LocalIndex.open(index) as opened:
        current = (index / _CURRENT).read_bytes()
        folders = [
            index / current.decode().split()[0],
            *(index / "parts" / part.name for part in opened.manifest.parts),
        ]
        with file.open("xb") as out:
            try:
                digest = _Hashed(out)
                with tarfile.open(fileobj=digest, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                    _add(archive, _CURRENT, io.BytesIO(current), len(current))
                    for path in (each for folder in folders for each in sorted(folder.rglob("*")) if each.is_file()):
                        with path.open("rb") as source:
                            _add(archive, path.relative_to(index).as_posix(), source, os.fstat(source.fileno()).st_size)
                out.write(digest.hexdigest.encode())
                os.fsync(out.fileno())
            except BaseException:
                file.unlink(missing_ok=True)
                raise
    return digest.hexdigest


def unbundle(file: Path, index: Path) -> str:
    """Write a bundle as an index folder, which must not be there, and return its sha256. Nothing is left of one that is refused.

    Raises:
        IndexProblem: a byte changed, it is no bundle, a name leads out of the folder, or there is no room.
        SpecError: the folder is there.
    """
    _require_new(index)
    sha256 = _checked(file)
    index.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(index.parent).free < file.stat().st_size:
        raise IndexProblem(f"no room for {file.stat().st_size:,} bytes beside '{index}'")
    with tempfile.TemporaryDirectory(dir=index.parent, prefix=f".{index.name}-") as temporary:
        made = Path(temporary) / "index"
        made.mkdir()
        try:
            with tarfile.open(file, mode="r:") as archive:
                for member in archive:
                    _write(archive, member, made, name=str(file))
        except tarfile.TarError as cause:
            raise IndexProblem(f"'{file}' is no bundle of an index: {cause}") from None
        (made / _MARK).touch()
        LocalIndex.open(made).close()
        made.rename(index)
    return sha256


def _require_new(path: Path) -> None:
    if path.exists():
        raise SpecError(f"'{path}' is there already, and nothing is written over; name another")


class _Hashed(io.RawIOBase):
    """A file that is written, and the digest of what was."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._sha256 = out, hashlib.sha256()

    def write(self, data: Any, /) -> int:
        self._sha256.update(data)
        return self._out.write(data)

    @property
    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def _add(archive: tarfile.TarFile, name: str, source: BinaryIO, n_bytes: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = n_bytes, 0o644
    archive.addfile(member, source)


def _checked(file: Path) -> str:
    """The digest that a bundle says, if its bytes have it."""
    left, sha256 = file.stat().st_size - _DIGEST, hashlib.sha256()
    with file.open("rb") as source:
        while left > 0:
            data = source.read(min(left, _BLOCK))
            if not data:
                break
            left -= len(data)
            sha256.update(data)
        said = source.read()
    if left or said != sha256.hexdigest().encode():
        raise IndexProblem(f"'{file}' is no bundle of an index, or a byte of it changed. Bundle the index again")
    return sha256.hexdigest()


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, *, name: str) -> None:
    path = PurePosixPath(member.name)
    source = archive.extractfile(member) if member.isreg() else None
    if source is None or path.is_absolute() or ".." in path.parts:
        raise IndexProblem(f"'{name}' holds {member.name[:80]!r}, which is no plain file of an index")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        shutil.copyfileobj(source, out, _BLOCK)
