"""Vectors of tokens in few bits: the nearest of some centroids, and what is left in 1, 2, 4 or 8 bits a number (ColBERTv2:
Santhanam et al., NAACL 2022, arXiv 2112.01488, section 3.3; PLAID: CIKM 2022, arXiv 2205.09707).

Cut points of what is left are quantiles of it, and what stands for the numbers between two of them is the quantile in
the middle. Vectors may first be turned to the axes on which the corpus spreads most, and the others cut off; that is
ours, and costs what the benchmark says.

    centroids.npy   float32 [n_centroids, dim], unit length
    levels.npy      float32 [2^bits], ascending: what stands for a number
    cuts.npy        float32 [2^bits - 1]: between the levels
    axes.npy        float32 [full_dim, dim], orthonormal columns; only where something is cut off
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.optional import need
from retrievers.stores.arrays import load_array

Bits = Literal[1, 2, 4, 8]

_ROUNDS = 4
"""Of k-means, as ColBERT has them."""
_BLOCK = 1 << 11
"""Vectors that are encoded at a time: with 128 numbers 1 MB, which stays in cache."""
_HELD_OUT = 1 << 15
"""Vectors that tell the cut points, about."""
_FEW_CUTS = 15
_WIDEST_INT8 = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """Of n vectors: the centroid of each, int32 [n]; what is left, uint8 [n, bytes]; and the length of their sum,
    float16 [n], by which scores are divided."""

    centroids: NDArray[np.int32]
    left: NDArray[np.uint8]
    lengths: NDArray[np.float16]

    def at(self, places: Any) -> Coded:
        """Those at some places: a slice, or whole numbers."""
        return Coded(centroids=self.centroids[places], left=self.left[places], lengths=self.lengths[places])

    @classmethod
    def joined(cls, parts: Sequence[Coded]) -> Coded:
        """One after the other; one part at least."""
        return cls(
            centroids=np.concatenate([part.centroids for part in parts]),
            left=np.concatenate([part.left for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts]),
        )


def n_centroids(n_vectors: int) -> int:
    """How many centroids so many vectors get: 2^floor(log2(4 sqrt(n))), and no more than there are vectors.

    PLAID takes 16 sqrt(n). A quarter of it takes a quarter of the time to find, which on a processor is most of a build.

    >>> n_centroids(1_000), n_centroids(1_000_000), n_centroids(3)
    (64, 2048, 2)
    """
    most = min(n_vectors, 4 * math.isqrt(n_vectors))
    return 1 << max(0, most.bit_length() - 1)


@dataclass(frozen=True, kw_only=True)
class ResidualCodec:
    """See the module. `axes`: None where vectors are kept in their own."""

    centroids: NDArray[np.float32]
    levels: NDArray[np.float32]
    cuts: NDArray[np.float32]
    axes: NDArray[np.float32] | None = None

    @classmethod
    def learn(cls, sample: NDArray[np.float32], *, n_vectors: int, bits: Bits, dim: int | None = None) -> Self:
        """From some of the vectors that it is for. The same sample gives the same codec.

        Args:
            sample: float32 [n, full_dim], n at least 1, unit length.
            n_vectors: all that will be encoded.
            dim: axes that are kept; all of them where it is None or no less than there are.
        """
        need("faiss", by="the late_interaction leg")
        import faiss

        axes = None
        if dim is not None and dim < sample.shape[1]:
            spread: Any = np.linalg.eigh(sample.T @ sample)
            axes = np.ascontiguousarray(spread.eigenvectors[:, : -dim - 1 : -1], dtype=np.float32)
        vectors = _turned(sample, axes)
        count = min(n_centroids(n_vectors), len(vectors))
        means = faiss.Kmeans(vectors.shape[1], count, niter=_ROUNDS, spherical=True, seed=0, min_points_per_centroid=1)
        means.train(vectors)
        centroids = np.ascontiguousarray(means.centroids, dtype=np.float32)
        held_out = vectors[:: max(1, len(vectors) // _HELD_OUT)]
        left = held_out - centroids[_nearest(centroids, held_out)]
        parts = 2 << bits
        between = np.quantile(left, np.arange(1, parts) / parts).astype(np.float32)
        return cls(centroids=centroids, levels=between[::2], cuts=between[1::2], axes=axes)

    @property
    def dim(self) -> int:
        """Numbers that are kept of a vector."""
        return int(self.centroids.shape[1])

    @property
    def bits(self) -> int:
        """Of each number of what is left."""
        return len(self.levels).bit_length() - 1

    @property
    def bytes_per_vector(self) -> int:
        """Of what is left."""
        return -(-self.dim * self.bits // 8)

    def turn(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n, dim], unit length: vectors on the codec's axes."""
        return _turned(vectors, self.axes)

    def encode(self, vectors: NDArray[np.float32]) -> Coded:
        """float32 [n, full_dim], as the model gave them."""
        starts = range(0, max(1, len(vectors)), _BLOCK)
        return Coded.joined([self._encode(vectors[start : start + _BLOCK]) for start in starts])

    def decode(self, coded: Coded) -> NDArray[np.float32]:
        """float32 [n, dim], of unit length but for rounding: what scores are computed of."""
        vectors: NDArray[np.float32] = self.centroids[coded.centroids]
        vectors += self.levels[self._numbers(coded.left)]
        vectors /= coded.lengths[:, None].astype(np.float32)
        return vectors

    @cached_property
    def int8(self) -> tuple[NDArray[np.int8], np.float32]:
        """The levels as whole numbers of a scale, int8 [2^bits], and that scale."""
        scale = np.float32(max(float(np.abs(self.levels).max()), 1e-12) / _WIDEST_INT8)
        return np.round(self.levels / scale).astype(np.int8), scale

    def left_as_int8(self, left: NDArray[np.uint8]) -> NDArray[np.int8]:
        """int8 [n, dim]: what is left, in steps of the scale of `int8`."""
        return np.take(self._int8_of_byte, left).view(np.int8)[:, : self.dim]

    @cached_property
    def _int8_of_byte(self) -> NDArray[np.unsignedinteger[Any]]:
        """[256]: the levels of all numbers in a byte, side by side in one whole number, which is read in one step."""
        levels, _ = self.int8
        table = np.ascontiguousarray(levels[_unpacked(np.arange(256, dtype=np.uint8)[:, None], self.bits)])
        return table.view(f"u{8 // self.bits}")[:, 0]

    def _encode(self, vectors: NDArray[np.float32]) -> Coded:
        turned = self.turn(vectors)
        nearest = _nearest(self.centroids, turned)
        numbers = _numbers(turned - self.centroids[nearest], self.cuts)
        summed = self.centroids[nearest] + self.levels[numbers]
        return Coded(
            centroids=nearest,
            left=_packed(numbers, self.bits),
            lengths=np.linalg.norm(summed, axis=1).astype(np.float16),
        )

    def _numbers(self, left: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return _unpacked(left, self.bits)[:, : self.dim]

    def write(self, folder: Path) -> None:
        """Write the files into `folder`, which exists."""
        np.save(folder / "centroids.npy", self.centroids)
        np.save(folder / "levels.npy", self.levels)
        np.save(folder / "cuts.npy", self.cuts)
        if self.axes is not None:
            np.save(folder / "axes.npy", self.axes)

    @classmethod
    def read(cls, folder: Path, *, turned: bool) -> Self:
        """What `write` wrote.

        Raises:
            IndexProblem: a file is absent, cannot be read, or they do not fit together.
        """
        names = ("centroids", "levels", "cuts", *(("axes",) if turned else ()))
        arrays = {name: np.array(load_array(folder / f"{name}.npy")) for name in names}
        codec = cls(**arrays)
        fitting = (
            all(array.dtype == np.float32 for array in arrays.values())
            and codec.centroids.ndim == 2
            and len(codec.levels) in (2, 4, 16, 256)
            and len(codec.cuts) == len(codec.levels) - 1
            and (codec.axes is None or codec.axes.shape[1:] == (codec.dim,))
        )
        if not fitting:
            raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
        return codec


def _turned(vectors: NDArray[np.float32], axes: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if axes is None:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    turned = vectors @ axes
    lengths = np.linalg.norm(turned, axis=1, keepdims=True)
    unit: NDArray[np.float32] = turned / np.maximum(lengths, 1e-12)
    return unit


def _nearest(centroids: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.int32]:
    """int32 [n]: by inner product; of equal ones the first."""
    if not len(vectors):
        return np.zeros(0, dtype=np.int32)
    need("faiss", by="the late_interaction leg")
    import faiss

    index = faiss.IndexFlatIP(centroids.shape[1])
    index.add(centroids)
    _, found = index.search(np.ascontiguousarray(vectors), 1)
    nearest: NDArray[np.int32] = found[:, 0].astype(np.int32)
    return nearest


def _numbers(left: NDArray[np.float32], cuts: NDArray[np.float32]) -> NDArray[np.uint8]:
    """How many of the cuts, ascending, each number is above: what `searchsorted` says, and sooner where they are few."""
    if len(cuts) > _FEW_CUTS:
        return np.searchsorted(cuts, left).astype(np.uint8)
    numbers, above = np.zeros(left.shape, dtype=np.uint8), np.empty(left.shape, dtype=np.bool_)
    for cut in cuts:
        numbers += np.greater(left, cut, out=above).view(np.uint8)
    return numbers


def _packed(numbers: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """uint8 [n, dim] -> [n, bytes]: the first number of a byte in its lowest bits."""
    each = 8 // bits
    if each == 1:
        return numbers
    padded = np.pad(numbers, ((0, 0), (0, -numbers.shape[1] % each)))
    packed: NDArray[np.uint8] = padded[:, ::each].copy()
    for place in range(1, each):
        packed |= padded[:, place::each] << np.uint8(place * bits)
    return packed


def _unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """uint8 [n, bytes] -> [n, dim], the last byte filled up."""
    each = 8 // bits
    shifts = np.arange(each, dtype=np.uint8) * bits
    numbers: NDArray[np.uint8] = (packed[:, :, None] >> shifts) & np.uint8((1 << bits) - 1)
    return numbers.reshape(len(packed), packed.shape[1] * each)
