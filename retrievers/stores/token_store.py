"""The vectors of all tokens of a corpus on disk, and the rows whose tokens are nearest to those of a query.

A search looks for candidates first: for each token of a query the rows that have a token at one of its nearest
centroids. A row's estimate is, summed over the query's tokens, the score of the best of these centroids that it has,
or of the last of them where it has none (as WARP does it: Scheerer et al., SIGIR 2025, arXiv 2501.17788). The best of
the estimates are scored by all their tokens (late interaction, `retrievers.stores.token_vectors.max_sim`).

    starts.npy       int64 [n + 1], where each row's tokens start
    codes.npy        int32 [n_tokens], the nearest centroid
    left.npy         uint8 [n_tokens * bytes], what is left (`retrievers.stores.residuals`, whose files are beside)
    lengths.npy      float16 [n_tokens]
    postings/        centroid -> rows that have a token there, each once (`retrievers.stores.postings`)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.models.processor import multiplies_int8
from retrievers.stores.arrays import load_array, load_vector
from retrievers.stores.hits import tied
from retrievers.stores.postings import Columns
from retrievers.stores.ragged_writer import POSTINGS, RaggedWriter
from retrievers.stores.residuals import Coded, ResidualCodec

_FILES: dict[str, Any] = {"codes": np.int32, "left": np.uint8, "lengths": np.float16}
_TOKENS_AT_ONCE = 1 << 16
"""Whose vectors are unpacked together: at 384 numbers 25 MB."""


class TokenStore:
    """See the module. Safe to share between threads.

    Args:
        starts, coded: of all rows; memory-mapped or not.
        postings: centroid -> rows.
    """

    def __init__(self, codec: ResidualCodec, starts: NDArray[np.int64], coded: Coded, postings: Columns) -> None:
        self.codec, self._starts, self._coded, self._postings = codec, starts, coded, postings
        if (n_empty := len(codec.centroids) + 1 - len(postings.starts)) > 0:  # the last ones have no row
            self._postings = replace(postings, starts=np.pad(postings.starts, (0, n_empty), mode="edge"))
        self.filled = np.diff(starts) > 0
        """bool [rows]: which rows have a token."""

    def __len__(self) -> int:
        return len(self._starts) - 1

    @property
    def n_tokens(self) -> int:
        """Vectors of all rows."""
        return int(self._starts[-1])

    def coded(self, row: int) -> Coded:
        """What is kept of a row's tokens."""
        return self._coded.at(slice(int(self._starts[row]), int(self._starts[row + 1])))

    def vectors(self, row: int) -> NDArray[np.float32]:
        """float32 [tokens, dim]: a row's tokens as they are scored."""
        return self.codec.decode(self.coded(row))

    def search(
        self,
        query: NDArray[np.float32],
        *,
        k: int,
        probes: int,
        rescored: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows, ascending, and their scores: the k best of those looked at, and all that tie with the last of them.

        Args:
            query: float32 [tokens, full_dim], unit length. Without a token nothing is found.
            probes: centroids that are looked at for each token of the query.
            rescored: candidates that are scored by all their tokens. Where as many as all rows that may be hits, the
                search is exact.
            mask: bool [rows]; others are no hits.
        """
        return self.nearest(self.codec.turn(query), k=k, probes=probes, rescored=rescored, mask=mask)

    def score(self, query: NDArray[np.float32], rows: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """float64 [len(rows)]: what rows, ascending and each once, score by all their tokens; 0 for one without a token."""
        turned, scores = self.codec.turn(query), np.zeros(len(rows))
        there = np.flatnonzero(self.filled[rows])
        if len(turned) and len(there):
            scores[there] = self._scores(turned, self.codec.centroids @ turned.T, rows[there].astype(np.int64))
        return scores

    def nearest(
        self,
        turned: NDArray[np.float32],
        *,
        k: int,
        probes: int,
        rescored: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The same for vectors on the codec's axes already: float32 [tokens, dim]."""
        allowed = self.filled if mask is None else self.filled & mask
        rows = np.flatnonzero(allowed)
        if not len(turned) or not len(rows):
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        at_centroids = self.codec.centroids @ turned.T
        if len(rows) > rescored:
            rows = self._candidates(at_centroids, allowed, probes=probes, most=max(k, rescored))
        scores = self._scores(turned, at_centroids, rows)
        places = tied(scores, k)
        return rows[places], scores[places]

    def exact(self, queries: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """float32 [queries, rows]: what every row scores, minus infinity without a token. Each vector is unpacked once.

        Args:
            queries: vectors on the codec's axes, float32 [tokens, dim], one token at least.
        """
        turned, rows = np.concatenate(queries), np.flatnonzero(self.filled)
        of_query = np.cumsum([0, *map(len, queries[:-1])])
        scores = np.full((len(queries), len(self)), -np.inf, dtype=np.float32)
        sizes = self._starts[rows + 1] - self._starts[rows]
        for some in _in_parts(sizes, _TOKENS_AT_ONCE >> 4):
            vectors = self.codec.decode(self._of(rows[some], sizes[some]))
            best = np.maximum.reduceat(turned @ vectors.T, np.cumsum(sizes[some]) - sizes[some], axis=1)
            scores[:, rows[some]] = np.add.reduceat(best, of_query, axis=0)
        return scores

    def _candidates(
        self, at_centroids: NDArray[np.float32], allowed: NDArray[np.bool_], *, probes: int, most: int
    ) -> NDArray[np.int64]:
        """Rows by the estimate, ascending, `most` of them at the most."""
        probes = min(probes, len(at_centroids))
        nearest = np.argpartition(-at_centroids, probes - 1, axis=0)[:probes]
        estimate = np.zeros(len(self), dtype=np.float32)
        gain = np.zeros(len(self), dtype=np.float32)
        seen = np.zeros(len(self), dtype=np.bool_)
        starts, rows = self._postings.starts, self._postings.rows
        for token, centroids in enumerate(nearest.T):
            scores = at_centroids[centroids, token]
            least, touched = scores.min(), []
            for place in np.argsort(scores):  # the best comes last, and stays
                column = rows[starts[centroids[place]] : starts[centroids[place] + 1]]
                gain[column] = scores[place] - least
                touched.append(column)
            found = np.concatenate(touched)
            seen[found] = True
            estimate += gain
            gain[found] = 0
        estimate[~(seen & allowed)] = -np.inf
        places = np.flatnonzero(estimate > -np.inf)
        if len(places) > most:
            places = places[np.argpartition(-estimate[places], most - 1)[:most]]
        return np.sort(places)

    def _scores(
        self, turned: NDArray[np.float32], at_centroids: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        scale = self.codec.int8[1]
        steps = np.maximum(np.abs(turned).max(axis=1, keepdims=True), 1e-12) / np.float32(127)
        query = np.round(turned / steps).astype(np.int8)
        sizes = self._starts[rows + 1] - self._starts[rows]
        parts = []
        for some in _in_parts(sizes, _TOKENS_AT_ONCE):
            coded = self._of(rows[some], sizes[some])
            left = _products(self.codec.left_as_int8(coded.left), query)
            left *= scale * steps.T
            left += np.take(at_centroids, coded.centroids, axis=0)
            left /= coded.lengths[:, None].astype(np.float32)
            begins = np.cumsum(sizes[some]) - sizes[some]
            best = np.maximum.reduceat(np.ascontiguousarray(left.T), begins, axis=1)
            parts.append(best.sum(axis=0, dtype=np.float64))
        return np.concatenate(parts) if parts else np.zeros(0)

    def _of(self, rows: NDArray[np.int64], sizes: NDArray[np.int64]) -> Coded:
        """What is kept of the tokens of rows, one after the other."""
        begins = self._starts[rows]
        if int(begins[-1] + sizes[-1] - begins[0]) == int(sizes.sum()):
            return self._coded.at(slice(int(begins[0]), int(begins[-1] + sizes[-1])))
        offsets = np.repeat(begins - (np.cumsum(sizes) - sizes), sizes)
        return self._coded.at(offsets + np.arange(len(offsets)))

    @classmethod
    def read(cls, folder: Path, *, n: int, turned: bool) -> Self:
        """What `TokenWriter` wrote, memory-mapped.

        Raises:
            IndexProblem: a file is absent, cannot be read, or they do not fit together.
        """
        codec = ResidualCodec.read(folder, turned=turned)
        starts = load_vector(folder / "starts.npy", np.int64)
        arrays = {name: load_array(folder / f"{name}.npy") for name in _FILES}
        n_tokens = int(starts[-1]) if len(starts) else -1
        width = codec.bytes_per_vector
        sizes = {"codes": n_tokens, "left": n_tokens * width, "lengths": n_tokens}
        fitting = (
            len(starts) == n + 1
            and not bool(np.any(np.diff(starts) < 0))
            and all(
                arrays[name].dtype == kind and arrays[name].shape == (sizes[name],) for name, kind in _FILES.items()
            )
        )
        if not fitting:
            raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
        coded = Coded(centroids=arrays["codes"], left=arrays["left"].reshape(-1, width), lengths=arrays["lengths"])
        return cls(codec, starts, coded, Columns.read(folder / POSTINGS))


class TokenWriter(RaggedWriter):
    """Writes the tokens of rows, and the codec that they are kept by (`RaggedWriter`)."""

    def __init__(self, folder: Path, codec: ResidualCodec) -> None:
        super().__init__(folder, _FILES, impact=np.float32)
        self._codec = codec

    def __enter__(self) -> Self:
        self._codec.write(self._folder)
        return super().__enter__()

    def add(self, coded: Coded, sizes: Sequence[int]) -> None:
        """The next rows: their tokens one after the other, and how many each has."""
        rows = self.begin(sizes)
        self._files["codes"].append(coded.centroids)
        self._files["left"].append(coded.left.reshape(-1))
        self._files["lengths"].append(coded.lengths)
        pairs = np.unique(rows << 32 | coded.centroids)
        ones = np.ones(len(pairs), dtype=np.float32)
        self._postings.add(pairs & 0xFFFFFFFF, pairs >> 32, ones.view(np.int32))


def _products(vectors: NDArray[np.int8], query: NDArray[np.int8]) -> NDArray[np.float32]:
    """float32 [n, tokens of the query], whole numbers. Up to 1,040 numbers a vector float32 holds their sums exactly, so
    it is the same with torch and without, which takes seconds to import."""
    if "torch" in sys.modules and multiplies_int8():
        import torch

        product = torch._int_mm(torch.from_numpy(np.ascontiguousarray(vectors)), torch.from_numpy(query.T.copy()))
        return product.numpy().astype(np.float32)
    made: NDArray[np.float32] = vectors.astype(np.float32) @ query.T.astype(np.float32)
    return made


def _in_parts(sizes: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Stretches of rows with at most so many tokens together, or one row."""
    begin, total = 0, 0
    for place, size in enumerate(sizes.tolist()):
        if total and total + size > most:
            yield slice(begin, place)
            begin, total = place, 0
        total += size
    if begin < len(sizes):
        yield slice(begin, len(sizes))
