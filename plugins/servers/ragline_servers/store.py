"""What an index asks of a server: collections of points with vectors and fields, a name that can be pointed at one of them.

A collection of ours has points that are numbered from 0, their ids. One that somebody else filled may have ids of text.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexProblem
from rag.filters import Filter
from rag.indexes import SERVERS, Index, IndexServer, IndexWriter, Sparse
from ragline_servers.address import ServerAddress

PointId = int | str

FieldKind = Literal["text", "key", "words", "numbers"]
"""Text of at most 60,000 bytes; a short text, or a list of at most 4,096 of them, that filters look for; a flat object of
floats."""

MOST_WORDS = 4_096
"""Texts of a list that filters look for."""

MOST_HITS = 16_384
"""More than that no server here gives for one question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What points of a collection hold. `dense`: name of a vector -> its length. Scores are inner products.

    `exact`: dense search looks at every vector; else by a graph, which is fast and may miss some.
    """

    fields: Mapping[str, FieldKind]
    dense: Mapping[str, int] = field(default_factory=dict)
    sparse: Sequence[str] = ()
    exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point to be written: all that the collection's form names. No sparse vector is empty."""

    id: int
    fields: Mapping[str, Any]
    dense: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    sparse: Mapping[str, Sparse] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A point that was read: what was asked for of it, dense vectors as lists, sparse ones as `Sparse`. `score`: of a hit."""

    id: PointId
    fields: Mapping[str, Any]
    score: float = 0.0


class CollectionStore(Protocol):
    """A server. Safe to share between threads. Collections are named as the server has them.

    Everything raises IndexProblem where the server does not answer, or refuses: the message says which server, what it was
    asked for and what to do. `where` is a filter whose keys are fields of points, a part of an object after a dot.
    """

    @classmethod
    @abstractmethod
    def connect(cls, address: ServerAddress, *, create: bool = False, timeout_s: float = 30.0) -> Self:
        """Ask a server whether it is there, and of a version that will do.

        Args:
            create: whether a server that is a library may begin a new file.
        Raises:
            MissingDependency: its client is not installed.
        """

    @abstractmethod
    def collections(self) -> list[str]: ...

    @abstractmethod
    def target(self, alias: str) -> str | None:
        """The collection that a name points to; None where there is no such name."""

    @abstractmethod
    def switch(self, alias: str, collection: str) -> None:
        """Point a name at a collection, in one step."""

    @abstractmethod
    def create(self, collection: str, form: Form) -> None: ...

    @abstractmethod
    def drop(self, collection: str) -> None:
        """Remove a collection, if it is there."""

    @abstractmethod
    def put(self, collection: str, points: Sequence[Point]) -> None:
        """Write points, in place of those with the same ids."""

    @abstractmethod
    def finish(self, collection: str) -> None:
        """Return once all that was put is searched by whoever asks from now on."""

    @abstractmethod
    def count(self, collection: str) -> int: ...

    @abstractmethod
    def nearest(
        self,
        collection: str,
        vector: str,
        queries: NDArray[np.float32],
        *,
        k: int,
        where: Filter | None = None,
        fields: Sequence[str] = (),
        exact: bool = True,
    ) -> list[list[Record]]:
        """For each query the k points with the greatest score, best first; equal ones in any order.

        Where a collection of somebody else's measures distance, the score is its negative.

        Raises:
            SpecError: the collection has no such vector, or one of another length.
        """

    @abstractmethod
    def heaviest(
        self, collection: str, vector: str, queries: Sequence[Sparse], *, k: int, where: Filter | None = None
    ) -> list[list[Record]]:
        """The same by sparse vectors. A point that shares no place with a query is no hit."""

    @abstractmethod
    def get(self, collection: str, ids: Sequence[PointId], *, fields: Sequence[str]) -> list[Record]:
        """Points of these ids in any order, without those that are not there. `fields` may name vectors."""

    @abstractmethod
    def find(self, collection: str, where: Filter | None, *, fields: Sequence[str] = ()) -> Iterator[Record]:
        """All points that pass a filter, by id ascending. For collections of ours."""

    @abstractmethod
    def close(self) -> None: ...


class CollectionServer(IndexServer):
    """A server whose indexes are collections of points. Another one is a class with a store of its own."""

    store: ClassVar[type[CollectionStore]]

    def open(self, address: str) -> Index:
        from ragline_servers.index import ServerIndex

        return ServerIndex.open(address)

    def writing(self, address: str, *, drafts: Path) -> AbstractContextManager[IndexWriter]:
        from ragline_servers.writer import ServerWriter

        return ServerWriter.open(address, drafts=drafts)


def connect(address: ServerAddress, *, create: bool = False) -> CollectionStore:
    """The server of an address; see `CollectionStore.connect`."""
    server = SERVERS.get(address.scheme)
    if not issubclass(server, CollectionServer):
        raise IndexProblem(f"index '{address}': a server '{address.scheme}' keeps no collections")
    return server.store.connect(address, create=create)
