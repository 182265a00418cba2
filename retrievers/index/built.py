"""What a build knows of an index elsewhere than in a directory: what it takes over of it, and how it is published.

A build always writes a directory. Where an index is on a server, that directory is a draft: once it is complete it is sent
there, and then removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from rag.core.errors import IndexProblem
from rag.core.progress import Progress
from retrievers.index.documents import StoredDocuments
from retrievers.index.manifest import Manifest
from retrievers.index.settings import IndexSettings
from retrievers.index.sources import ROOTS, SOURCES, Holding, read_sources
from retrievers.index_protocol import Index


class BuiltIndex(Protocol):
    """An index that can be brought up to date: in a directory or on a server."""

    @property
    def name(self) -> str: ...
    @property
    def manifest(self) -> Manifest: ...
    @property
    def legs(self) -> tuple[str, ...]: ...
    @property
    def documents(self) -> StoredDocuments: ...
    def leg(self, name: str) -> Any: ...
    def file(self, name: str) -> Path: ...
    def verify(self, *, progress: Progress = ...) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...


def holdings_of(index: BuiltIndex) -> tuple[Holding, ...]:
    """What the sources gave.

    Raises:
        IndexProblem: a table is damaged, or is of other documents.
    """
    roots = index.file(ROOTS) if ROOTS in index.manifest.files else None
    holdings = read_sources(index.file(SOURCES), roots)
    if sum(record.n_units for holding in holdings for record in holding.records) != len(index.documents):
        raise IndexProblem(f"index '{index.name}': its sources do not fit its documents")
    return holdings


class IndexWriter(Protocol):
    """Where an index is built: in its directory, or in a draft of what is kept elsewhere."""

    @property
    def home(self) -> Path:
        """Where a build writes: an index directory, or none yet. What a killed build made is in it."""
        ...

    @property
    def address(self) -> Path | str:
        """What readers open."""
        ...

    @property
    def exists(self) -> bool:
        """Whether there is an index at the address, or a complete draft of one."""
        ...

    def before(self) -> BuiltIndex | None:
        """What readers open now, if that is elsewhere; None where it is in `home`, or nothing.

        Raises:
            IndexProblem: it is damaged.
        """
        ...

    def require(self, settings: IndexSettings, legs: Sequence[str]) -> None:
        """Return if an index with these settings and legs can be kept.

        Raises:
            IndexProblem: says which cannot, and what to choose.
        """
        ...

    def publish(self, *, progress: Progress) -> None:
        """Send what is in `home`, if it is a draft, and let readers have it, in one step. A killed one is gone on with.

        Raises:
            IndexProblem: the server refused, or somebody else published meanwhile. Readers have what they had.
        """
        ...


class IndexServer(Protocol):
    """A kind of server that keeps indexes: a class of `SERVERS`. Made without arguments; holds nothing."""

    embedded: ClassVar[bool] = False
    """Whether it is a library in this process, so that opening an index asks nobody else."""

    def open(self, address: str) -> Index:
        """The index at an address, whose scheme is that by which the class was found.

        Raises:
            IndexProblem: the server does not answer, or has no such index; or it is damaged, or of a newer format.
        """
        ...

    def writing(self, address: str, *, drafts: Path) -> AbstractContextManager[IndexWriter]:
        """Hold the draft of an address, so that no other process builds it here. `drafts`: a folder for all of them.

        Raises:
            IndexProblem: the server does not answer, or another process builds the index.
        """
        ...
