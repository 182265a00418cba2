"""Protocols of vector structures: how vectors are arranged on disk, and how the nearest of them are searched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.core.progress import Progress
from retrievers.stores.chain_rows import ChainRows

Hits = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Rows and scores, both [n_queries, k], best first; short rows end in -1 and -inf."""

_SCANNED = 2_000


class VectorStore(Protocol):
    """Vectors by row. `mask`, bool [n rows], says which rows may be hits, before they are ranked."""

    @property
    def shape(self) -> tuple[int, int]: ...
    def search(self, queries: NDArray[np.float32], *, k: int, mask: NDArray[np.bool_] | None) -> Hits: ...
    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]: ...


@runtime_checkable
class TakesOff(Protocol):
    """A store that looks at every vector once, whatever is taken off which."""

    def search_less(
        self,
        queries: NDArray[np.float32],
        *,
        k: int,
        mask: NDArray[np.bool_] | None,
        taken: NDArray[np.float32],
        groups: NDArray[np.int64],
    ) -> Hits:
        """As `search`, by inner product less what is taken off. `taken`: [n_queries, n groups]. `groups`: of each row."""
        ...


def is_scanned(n_allowed: int, n: int) -> bool:
    """Whether to look at each of the rows that a filter leaves, where a structure would pass over all others.

    To look costs what is left, and to pass over it costs n / n_allowed times a search without a filter: both were equal at
    about this number, for a hundred thousand vectors and for a million (`benchmarks.million_vectors`).
    """
    return n_allowed * n_allowed <= _SCANNED * n


class VectorStructure(Protocol):
    """One arrangement of vectors. Made without arguments; `storage` is how the numbers are kept: float32 or int8."""

    def exact(self, storage: str) -> bool:
        """Whether search finds the true neighbours. Where it does not, a leg measures its recall when it is built."""
        ...

    def write(self, vectors: NDArray[np.float32], folder: Path, *, storage: str, progress: Progress) -> None:
        """Write the structure into `folder`, which exists. `vectors`: float32 [n, dim], read in blocks."""
        ...

    def open(self, folder: Path, *, storage: str) -> VectorStore:
        """What `write` wrote; vectors stay on disk until they are touched.

        Raises:
            OSError, EOFError, ValueError, RuntimeError: it cannot be read.
        """
        ...


@runtime_checkable
class ChainsVectors(Protocol):
    """A structure whose exact storage can lie in parts, and is then searched to the same bits as one."""

    def exact(self, storage: str) -> bool: ...

    def open(self, folder: Path, *, storage: str) -> VectorStore: ...

    def open_chain(self, folders: Sequence[Path], rows: ChainRows) -> VectorStore:
        """What `write` wrote into each folder, as one, over the rows that are left.

        Raises:
            OSError, EOFError, ValueError, RuntimeError: it cannot be read.
        """
        ...

    def merge(self, folders: Sequence[Path], rows: ChainRows, folder: Path) -> None:
        """Write the same as one into `folder`, which exists.

        Raises:
            OSError: the disk is full.
        """
        ...
