"""Where a build writes: an index directory, or the draft of an index on a server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rag.core.errors import IndexProblem
from rag.core.our_plugins import where_it_is
from rag.core.progress import Progress
from rag.models.folder import home as cache_home
from retrievers.index import SERVERS
from retrievers.index.built import BuiltIndex, IndexWriter
from retrievers.index.generations import CURRENT
from retrievers.index.opening import scheme_of, server_of
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
    server = server_of(path)
    if server is None:
        hint = where_it_is(f"server.{scheme}") or (
            "Give --index a directory or the address of a server: "
            f"{', '.join(f'{each}://' for each in SERVERS) or 'none is installed'}"
        )
        raise IndexProblem(f"index '{path}': an index of this kind is not built. {hint}")
    return server.writing(str(path), drafts=cache_home() / "drafts")
