"""Exact search over postings that leaves out documents which cannot be among the best.

Documents stand in blocks of rows. A column knows its highest impact in each block, so a query has a bound for every
block: the sum over its columns of weight times highest impact. The blocks with the highest bounds are scored first.
The k-th best score there is a floor: of the other blocks only those are scored whose bound reaches it (Block-Max
indexes: Ding and Suel, SIGIR 2011; blocks that all terms share: Mallia, Suel and Tonellotto, SIGIR 2024).

Hits and scores are those of all sums, bit by bit. A bound is added up in the order of a score, of numbers that are
nowhere lower, and rounding keeps order: so no rounding puts a bound below a score of its block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retrievers.stores.hits import tied
from retrievers.stores.postings import Columns, best_sums

BLOCK = 64
"""Rows. Fewer make bounds tighter, and longer to add up."""

FEWEST = 20_000
"""Documents from which on blocks are left out. With fewer, all sums are made sooner than bounds."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """A column cut by blocks, in order: the block, where its postings start and end, the highest impact among them."""

    blocks: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    highest: NDArray[np.float32]

    @classmethod
    def of(cls, columns: Columns, column: int, block: int) -> Self:
        """Reads the column's postings, all of them."""
        span = slice(int(columns.starts[column]), int(columns.starts[column + 1]))
        blocks = columns.rows[span] // np.int32(block)
        firsts = np.flatnonzero(np.diff(blocks, prepend=np.int32(-1)))
        starts = firsts + span.start
        return cls(
            blocks=blocks[firsts],
            starts=starts,
            ends=np.append(starts[1:], span.stop)[: len(starts)],
            highest=np.maximum.reduceat(columns.impacts[span], firsts) if len(firsts) else columns.impacts[:0],
        )

    @classmethod
    def joined(cls, parts: Sequence[_Parts]) -> Self:
        """One after the other."""
        return cls(
            blocks=np.concatenate([each.blocks for each in parts]),
            starts=np.concatenate([each.starts for each in parts]),
            ends=np.concatenate([each.ends for each in parts]),
            highest=np.concatenate([each.highest for each in parts]),
        )


class BlockMax:
    """The best rows of a query over postings. Safe to share between threads.

    How blocks cut a column is worked out when a query first asks for it, and kept: 24 bytes a part.

    Args:
        columns: impacts above 0.
        n_docs: rows.
        block: rows of a block.
    """

    def __init__(self, columns: Columns, *, n_docs: int, block: int = BLOCK) -> None:
        self._columns, self._n_docs, self._block = columns, n_docs, block
        self._n_blocks = -(-n_docs // block)
        self._parts: dict[int, _Parts] = {}

    def best(
        self, query: Mapping[int, float], *, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows, ascending, and their sums above 0: the k best that the mask lets through, and all that tie with the last.

        Small collections, and such a k that most blocks are needed, are searched by all sums.
        """
        if self._n_docs < FEWEST or 4 * k > self._n_blocks or min(query.values(), default=0) < 0:
            return best_sums(self._columns, query, n_docs=self._n_docs, k=k, mask=mask)
        return self.pruned(query, k=k, mask=mask)

    def pruned(
        self, query: Mapping[int, float], *, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The same for any size. The query's weights are not negative."""
        known = {column: weight for column, weight in query.items() if 0 <= column < len(self._columns.starts) - 1}
        cut = [self._cut(column) for column in known]
        if not cut:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        parts = _Parts.joined(cut)
        weights = np.repeat(np.array([*known.values()], dtype=np.float64), [len(each.blocks) for each in cut])
        bounds = np.bincount(parts.blocks, weights=parts.highest * weights, minlength=self._n_blocks)
        allowed = None if mask is None else self._by_block(mask)
        if allowed is not None:
            bounds[~allowed.any(axis=1)] = 0.0

        def scored(blocks: NDArray[np.int64]) -> NDArray[np.float64]:
            sums = self._sums(parts, weights, blocks)
            return sums if allowed is None else np.where(allowed[blocks].ravel(), sums, 0.0)

        floor = _last_of_best(scored(_highest(bounds, k)), k)
        blocks = np.flatnonzero((bounds > 0) & (bounds >= floor))
        sums = scored(blocks)
        rows = (blocks[:, None] * self._block + np.arange(self._block)).ravel()
        places = tied(np.where(sums > 0, sums, -np.inf), k)
        return rows[places], sums[places]

    def _cut(self, column: int) -> _Parts:
        if column not in self._parts:
            self._parts[column] = _Parts.of(self._columns, column, self._block)
        return self._parts[column]

    def _by_block(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool [n_blocks, rows of a block]."""
        whole = np.zeros(self._n_blocks * self._block, dtype=np.bool_)
        whole[: len(mask)] = mask
        return whole.reshape(self._n_blocks, self._block)

    def _sums(self, parts: _Parts, weights: NDArray[np.float64], blocks: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64 [blocks x rows of a block]: the scores of blocks, which ascend.

        Postings are added up in the order of the query's columns, as `exact_sums` does.
        """
        shift = np.full(self._n_blocks, np.iinfo(np.int64).min)
        shift[blocks] = (np.arange(len(blocks)) - blocks) * self._block  # from a row to its place among the sums
        shifts = shift[parts.blocks]
        kept = np.flatnonzero(shifts > np.iinfo(np.int64).min)
        starts = parts.starts[kept]
        sizes = parts.ends[kept] - starts
        ends = np.cumsum(sizes)
        postings = np.arange(int(sizes.sum())) + np.repeat(starts - ends + sizes, sizes)
        return np.bincount(
            self._columns.rows[postings] + np.repeat(shifts[kept], sizes),
            weights=self._columns.impacts[postings] * np.repeat(weights[kept], sizes),
            minlength=len(blocks) * self._block,
        )


def _highest(bounds: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Of the `n` highest bounds, and all that tie with the last."""
    return np.flatnonzero(bounds >= np.partition(bounds, -n)[-n]) if n < len(bounds) else np.arange(len(bounds))


def _last_of_best(sums: NDArray[np.float64], k: int) -> float:
    """The k-th best sum above 0; 0 where there are fewer."""
    hits = sums[sums > 0]
    return float(np.partition(hits, -k)[-k]) if len(hits) >= k else 0.0
