"""Where a build writes: an index directory, or the draft of an index on a server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rag.core.errors import IndexProblem
from rag.core.progress import Progress
from retrievers.index import WRITERS
from retrievers.index.built import BuiltIndex, IndexWriter
from retrievers.index.generations import CURRENT
from retrievers.index.opening import scheme_of
from retrievers.index.settings import IndexSettings


@dataclass(frozen=True, slots=True)
class DirectoryWriter:
    """A directory is its own draft: nothing is elsewhere, all can be kept, and what is complete is published."""

    home: Path

    @property
    def address(self) -> Path:
        return self.home

    @property
    def exists(self) -> bool:
        return (self.home / CURRENT).exists()

    def before(self) -> BuiltIndex | None:
        return None

    def require(self, settings: IndexSettings, legs: Sequence[str]) -> None:
        pass

    def publish(self, *, progress: Progress) -> None:
        pass


def writing(path: str | Path) -> AbstractContextManager[IndexWriter]:
    """The place of an index that is to be built, updated or listed.

    Raises:
        IndexProblem: the server does not answer, or indexes of this kind are not built.
    """
    scheme = scheme_of(path)
    if scheme is None:
        return nullcontext(DirectoryWriter(Path(path)))
    if scheme not in WRITERS:
        raise IndexProblem(
            f"index '{path}': an index of this kind is not built. Give --index a directory or the address of a server: "
            f"{', '.join(f'{each}://' for each in WRITERS)}"
        )
    held: AbstractContextManager[IndexWriter] = WRITERS.get(scheme).open(str(path))
    return held
