"""An index with its contents as one file, and back: every byte of the file is checked before any is written.

The file is a plain tar of the generation that is open now and of the parts that it lists, names in order, without owners and
times, and the sha256 of all that behind it, as 64 letters. What older generations held, and what is being built, is not in
it. So a bundle is refused whole if a byte of it changed. The digest says that it is whole; it does not say by whom it is.
Where it is asked for, the files of which pages are drawn lie in it below `sources`, by their names in the index.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from rag.errors import IndexProblem, SpecError
from rag.indexes import LocalIndex
from ragline_media.pages.drawing import is_drawn

_CURRENT, _MARK = "CURRENT", "ragline.lock"
"""The file that says which generation is current, and the empty one by which a build knows the folder of an index."""

_SOURCES = "sources"
_DIGEST = 64
_BLOCK = 1 << 20


def bundle(index: Path, file: Path, *, sources: bool = False, missed: Callable[[str], None] = lambda name: None) -> str:
    """Write an index into a file, which must not be there, and return the sha256 of what it holds.

    While it is written the index may be asked and changed: what is bundled is what it was at the beginning.

    Args:
        sources: whether the files of which pages are drawn go with it.
        missed: told the name of each of them that is not as it was read, and so does not.
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
                    for name, data in _sources_of(opened) if sources else ():
                        if data is None:
                            missed(name)
                        else:
                            _add(archive, f"{_SOURCES}/{name}", io.BytesIO(data), len(data))
                out.write(digest.hexdigest.encode())
                os.fsync(out.fileno())
            except BaseException:
                file.unlink(missing_ok=True)
                raise
    return digest.hexdigest


def unbundle(file: Path, index: Path, *, sources: Path | None = None) -> str:
    """Write a bundle as an index folder, which must not be there, and return its sha256. Nothing is left of one that is refused.

    Args:
        sources: a folder for the sources that are in it, which must not be there; the index looks for them there from then on.
    Raises:
        IndexProblem: a byte changed, it is no bundle, a name leads out of the folder, or there is no room.
        SpecError: a folder is there, one is within the other, or there are no sources in it.
    """
    if sources is not None and (
        index.absolute().is_relative_to(sources.absolute()) or sources.absolute().is_relative_to(index.absolute())
    ):
        raise SpecError(f"the index '{index}' and its sources '{sources}' are two folders, neither within the other")
    for each in (index, sources):
        if each is not None:
            _require_new(each)
            each.parent.mkdir(parents=True, exist_ok=True)
    sha256 = _checked(file)
    if shutil.disk_usage(index.parent).free < file.stat().st_size:
        raise IndexProblem(f"no room for {file.stat().st_size:,} bytes beside '{index}'")
    with ExitStack() as stack:
        made = _beside(index, stack)
        laid = _beside(sources, stack) if sources else None
        try:
            with tarfile.open(file, mode="r:") as archive:
                for member in archive:
                    below = PurePosixPath(member.name)
                    if below.parts[:1] != (_SOURCES,):
                        _write(archive, member, below, made, name=str(file))
                    elif laid is not None:
                        _write(archive, member, below.relative_to(_SOURCES), laid, name=str(file))
        except (tarfile.TarError, OSError) as cause:
            raise IndexProblem(f"'{file}' is no bundle of an index, or cannot be written: {cause}") from None
        (made / _MARK).touch()
        LocalIndex.open(made).close()
        if laid is not None and sources is not None:
            if not any(laid.iterdir()):
                raise SpecError(
                    f"'{file}' has no sources in it: write it with `rag bundle --sources`, or leave --sources out"
                )
            laid.rename(sources)
            stack.callback(lambda: None if index.exists() else shutil.rmtree(sources))
            LocalIndex.move_sources(made, sources)
        made.rename(index)
    return sha256


def _beside(folder: Path, stack: ExitStack) -> Path:
    """A new folder on the disk of one that is to be, which is gone at the end unless it was renamed."""
    temporary = stack.enter_context(tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-"))
    made = Path(temporary) / "made"
    made.mkdir()
    return made


def _sources_of(index: LocalIndex) -> Iterator[tuple[str, bytes | None]]:
    """Files of which pages are drawn, by their names in the index; None in place of one that is not as it was read."""
    seen = set[str]()
    for row, document in enumerate(index.documents):
        name = str(document.metadata.get("source", ""))
        if "page" not in document.metadata or name in seen:
            continue
        seen.add(name)
        origin = index.file_of(row)
        if origin is None or not is_drawn(origin[0]):
            continue
        try:
            data = origin[0].read_bytes()
        except OSError:
            data = b""
        yield name, data if hashlib.sha256(data).hexdigest() == origin[1] else None


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


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: PurePosixPath, folder: Path, *, name: str) -> None:
    source = archive.extractfile(member) if member.isreg() else None
    if source is None or path.is_absolute() or ".." in path.parts or not path.parts:
        raise IndexProblem(f"'{name}' holds {member.name[:80]!r}, which is no plain file of an index")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        shutil.copyfileobj(source, out, _BLOCK)
