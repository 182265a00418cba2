"""A Ray cluster as the other machines of a build and of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rag.protocols import RemoteWork
from ragline_cluster.connecting import Actors
from ragline_cluster.reading import Read, reading
from ragline_cluster.through import through


class RayCluster(Actors):
    """A cluster for `rag.build_index` and `rag.batch.run.run_batch`. See `Actors` for what it takes."""

    __slots__ = ()

    def reading(self) -> AbstractContextManager[Read]:
        self.require()
        return reading(self)

    def through(self, works: Sequence[RemoteWork], pieces: Iterable[Any]) -> Iterator[Any]:
        self.require()
        return through(works, pieces, self)
