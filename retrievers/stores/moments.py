"""What inner products with vectors come to over all of them, without a look at any: from their sum and the sum of products.

    mean = q.m,  variance = q'Sq / n - mean^2,  with m the mean vector and S the sum of x x' over all vectors x

Both sums add up over parts and subtract what is gone. They are of float64, so that an index in parts comes to what one
build of the same vectors comes to, but for rounding.

    moments.npy   float64 [dim + 1, dim]: the sum of the vectors, and below it the sum of x x'
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population
from retrievers.stores.arrays import read_npy
from retrievers.stores.population import population_of

FILE = "moments.npy"
LEAST_KEPT = 4096
"""Vectors from which on a leg keeps its sums. Of fewer, adding them up takes milliseconds, and the sums would take more room."""
_BLOCK = 8192


class VectorRows(Protocol):
    """Vectors that can be read by row."""

    @property
    def shape(self) -> tuple[int, int]: ...
    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over `n` vectors: `total` float64 [dim], of the vectors; `products` float64 [dim, dim], of x x'."""

    n: int
    total: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def none(cls, dim: int) -> Moments:
        """Of no vector."""
        return cls(0, np.zeros(dim), np.zeros((dim, dim)))

    @classmethod
    def of_vectors(cls, vectors: NDArray[np.float32]) -> Moments:
        """Of vectors [n, dim], memory-mapped or not; read in blocks."""
        return cls._of(vectors.shape[1], (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK)))

    @classmethod
    def of_rows(cls, store: VectorRows, rows: NDArray[np.integer[Any]] | None = None) -> Moments:
        """Of some rows of a store, or of all. Reads them."""
        wanted = np.arange(store.shape[0]) if rows is None else rows
        starts = range(0, len(wanted), _BLOCK)
        return cls._of(store.shape[1], (store.vectors(wanted[start : start + _BLOCK]) for start in starts))

    @classmethod
    def _of(cls, dim: int, blocks: Iterable[NDArray[np.float32]]) -> Moments:
        moments = cls.none(dim)
        for block in blocks:
            exact = block.astype(np.float64)
            moments += cls(len(exact), exact.sum(axis=0), exact.T @ exact)
        return moments

    @classmethod
    def read(cls, folder: Path, n: int) -> Moments | None:
        """What `write` wrote of so many vectors; None where it wrote nothing, as for few vectors and by older builds."""
        path = folder / FILE
        return cls.unpacked(path.read_bytes(), n) if path.exists() else None

    @classmethod
    def unpacked(cls, data: bytes, n: int) -> Moments:
        """What `packed` gave of so many vectors.

        Raises:
            ValueError: it is not what that gives.
        """
        sums: NDArray[np.float64] = read_npy(BytesIO(data))
        if sums.dtype != np.float64 or sums.ndim != 2 or sums.shape[0] != sums.shape[1] + 1:
            raise ValueError(f"{FILE} is {sums.dtype} {list(sums.shape)}, not float64 [dim + 1, dim]")
        return cls(n, sums[0], sums[1:])

    def packed(self) -> bytes:
        """The sums as the bytes of an .npy file."""
        stream = BytesIO()
        np.save(stream, np.vstack([self.total[None], self.products]), allow_pickle=False)
        return stream.getvalue()

    def write(self, folder: Path) -> None:
        """Write the sums. It pays from `LEAST_KEPT` vectors on.

        Raises:
            OSError: the disk is full.
        """
        (folder / FILE).write_bytes(self.packed())

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.products + other.products)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.n - other.n, self.total - other.total, self.products - other.products)

    def spread(self) -> Spread:
        """What populations are told by."""
        mean = self.total / max(self.n, 1)
        return Spread(self.n, mean, (self.products / max(self.n, 1) - np.outer(mean, mean)).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Spread:
    """How `n` vectors lie: `mean` float64 [dim]; `covariance` float32 [dim, dim], rounded once all is added up."""

    n: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        """In memory."""
        return self.mean.nbytes + self.covariance.nbytes

    def population(self, query: NDArray[np.float32]) -> Population:
        """What inner products with a query vector, float32 [dim], come to over all of these."""
        mean, own = float(self.mean @ query), query.astype(np.float32)
        variance = float((self.covariance @ own).astype(np.float64) @ own)
        return population_of(self.n, self.n * mean, self.n * (variance + mean * mean))
