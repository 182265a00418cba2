"""Compiled search over postings: the best rows by float32 sums, with the bits that numpy's sums have.

A query's columns are added up, one after the other, into a score for every document. Documents stand in blocks, and the top
score of each block is kept while adding. The k-th best of these tops is no more than the k-th best score, so only blocks that
reach it are looked at for hits: of a million documents some hundreds. Where the k-th best lies is found by counting how many
lie on each of a thousand steps between 0 and the best; only on its own step are hits compared with each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from retrievers.stores.hits import Found, best_first, nothing_found

Engine = Literal["auto", "numba", "numpy"]

REPEATS = frozenset(range(1, 17))
"""Weights that are scored as so many repetitions of the term: exact, where a product would be rounded."""

LARGEST = 1e30
"""Of an impact times its weight: so many are added that float32 holds the sum."""

STEPS = 1024
_MOST_BLOCKS = 1 << 14
_LEAST_BITS = 4
"""Blocks of sixteen documents, and of more from a quarter of a million documents on."""

COMPILE_S = 1.5
"""Seconds that compiling takes on a quiet core. Numpy answers until it was busy for as long; then it is compiled, once for
a process. So nobody waits more than twice as long as with the choice that was better in hindsight."""

_EVERYTHING = np.ones(0, dtype=np.bool_)
_EVERYTHING.flags.writeable = False


class Column(NamedTuple):
    """What a term of a query adds: rows ascending, int32, their impacts, float32, and the weight of the term."""

    rows: NDArray[np.int32]
    impacts: NDArray[np.float32]
    weight: float


class _Scratch(NamedTuple):
    """Of a search: a score for every document, the top of each block, how many are on each step, room for those that are looked
    at (of all documents, but touched only as it fills), and the bits of a block's size."""

    scores: NDArray[np.float32]
    tops: NDArray[np.float32]
    counts: NDArray[np.int32]
    some_rows: NDArray[np.int32]
    some_scores: NDArray[np.float32]
    bits: int


class Summed(NamedTuple):
    """What every row scores, float32 [n_rows], not to be changed; the sum of that, and of its squares."""

    scores: NDArray[np.float32]
    total: float
    squares: float


class CompiledSearch:
    """Searches queries over documents with compiled code. Safe to share between threads, each of which takes 4 bytes a document,
    and up to 12 where most documents score alike.

    Weights of queries are above 1e-6, impacts above 0.
    """

    def __init__(self, n_docs: int) -> None:
        self._n_docs = n_docs
        self._kernel, self._scratch = kernel(), deque[_Scratch]()
        nothing = np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(1, np.int64)
        self.search_columns(nothing, [], [], [0], nothing_found(0, 1), mask=None)  # compiles, if nobody did

    def search(self, queries: Sequence[Sequence[Column]], out: Found, *, mask: NDArray[np.bool_] | None) -> None:
        """Fill `out`, [n_queries, k] each, with the hits of queries whose columns lie anywhere.

        Raises:
            IndexProblem: a posting is of a row that there is not, or its impact is negative, too large or no number.
        """
        allowed, scratch = _mask(mask), self._taken()
        for columns, rows, scores in zip(queries, *out, strict=True):
            for column in columns:
                weight = float(column.weight)
                arrays = _frozen(column.rows), _frozen(column.impacts)
                _require(self._kernel.add(*arrays, weight, allowed, scratch))
            self._kernel.take(scratch, rows, scores, True)
        self._scratch.append(scratch)
        _put_in_order(out)

    def search_columns(
        self,
        columns: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]],
        terms: Sequence[int],
        weights: Sequence[float],
        bounds: Sequence[int],
        out: Found,
        *,
        mask: NDArray[np.bool_] | None,
    ) -> None:
        """The same for queries over the columns of one table, in one call.

        Args:
            columns: rows and impacts of all columns, and where each column starts.
            terms: columns that are asked for, query after query.
            weights: of each.
            bounds: where the terms of each query start, and where the last one ends.
        """
        scratch = self._taken()
        sound = self._kernel.search(
            *(_frozen(each) for each in columns),
            np.array(terms, dtype=np.int64),
            np.array(weights, dtype=np.float64),
            np.array(bounds, dtype=np.int64),
            _mask(mask),
            scratch,
            *out,
        )
        _require(sound)
        self._scratch.append(scratch)
        _put_in_order(out)

    def take(self, whole: Summed, out: Found) -> None:
        """Fill `out`, [1, k] each, with the best rows of sums that are known."""
        scratch = self._taken()
        self._kernel.find_tops(whole.scores, scratch.tops, scratch.bits)
        self._kernel.take(scratch._replace(scores=whole.scores), out[0][0], out[1][0], False)
        self._scratch.append(scratch)
        _put_in_order(out)

    def summed(self, columns: Sequence[Column]) -> Summed:
        """What every row scores, to the bit as in a search; for columns that lie anywhere.

        Raises:
            IndexProblem: see `search`.
        """
        scores, sums = np.zeros(self._n_docs, dtype=np.float32), np.zeros(2)
        for column in columns:
            _require(
                self._kernel.sum_up(_frozen(column.rows), _frozen(column.impacts), float(column.weight), scores, sums)
            )
        return Summed(scores, *sums.tolist())

    def summed_columns(
        self,
        columns: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]],
        terms: Sequence[int],
        weights: Sequence[float],
    ) -> Summed:
        """The same for columns of one table, in one call; see `search_columns`."""
        scores, sums = np.zeros(self._n_docs, dtype=np.float32), np.zeros(2)
        asked = np.array(terms, dtype=np.int64), np.array(weights, dtype=np.float64)
        _require(self._kernel.sum_columns(*(_frozen(each) for each in columns), *asked, scores, sums))
        return Summed(scores, *sums.tolist())

    def _taken(self) -> _Scratch:
        """Zeros, as every call leaves them. One that a fault left half filled is not used again."""
        try:
            return self._scratch.pop()
        except IndexError:
            bits = max(_LEAST_BITS, (self._n_docs // _MOST_BLOCKS).bit_length())
            tops = np.zeros((self._n_docs >> bits) + 1, dtype=np.float32)
            n, counts = self._n_docs, np.zeros(STEPS, dtype=np.int32)
            scores, some = np.zeros(n, dtype=np.float32), (np.empty(n, dtype=np.int32), np.empty(n, dtype=np.float32))
            return _Scratch(scores, tops, counts, *some, bits)


def is_compiled() -> bool:
    """Whether this process has the compiled code already."""
    return kernel.cache_info().currsize > 0


class EngineChoice:
    """Compiled code or numpy: numpy until that was busy for as long as compiling takes. Safe to share between threads."""

    def __init__(self, n_docs: int) -> None:
        self.n_docs = n_docs
        self._compiled: CompiledSearch | None = None
        self._numpy_s = 0.0
        self._lock = Lock()

    def compile(self) -> CompiledSearch:
        """Compiled code, which takes seconds once per process."""
        with self._lock:
            if self._compiled is None:
                self._compiled = CompiledSearch(self.n_docs)
            return self._compiled

    def compiled(self, engine: Engine) -> CompiledSearch | None:
        """The compiled code, if it is to be used now."""
        if engine == "numpy":
            return None
        paid = engine == "numba" or self._numpy_s > COMPILE_S or is_compiled()
        return self._compiled or (self.compile() if paid else None)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Around what numpy does."""
        begun = perf_counter()
        yield
        self._numpy_s += perf_counter() - begun


def _mask(mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return _EVERYTHING if mask is None else _frozen(mask)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same, not to be written: arrays that may and may not be written would each be compiled for."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def _put_in_order(out: Found) -> None:
    out[0][:], out[1][:] = best_first(*out)


def _require(sound: bool) -> None:
    if not sound:
        raise IndexProblem(
            "a weight is broken, or belongs to a row or a column that is not in the index. Build the index again"
        )


class _Kernel(NamedTuple):
    search: Any
    add: Any
    take: Any
    find_tops: Any
    sum_up: Any
    sum_columns: Any


@cache
def kernel() -> _Kernel:
    """The compiled functions. The first call of a process compiles them. They let go of the interpreter while they run."""
    from numba import njit

    @njit(nogil=True)
    def add(rows, impacts, weight, mask, scratch):  # type: ignore[no-untyped-def]
        """Add a column to the scores; false if it has a row that there is not, or an impact that is no number to add."""
        times, factor = np.int64(1), np.float32(weight)
        if weight <= 16 and weight == np.int64(weight):
            times, factor = np.int64(weight), np.float32(1)
        scores, tops, _, _, _, bits = scratch
        n, shift, masked = np.uint64(len(scores)), np.uint64(bits), len(mask) > 0
        for place in range(len(rows)):
            row, impact = np.uint64(np.uint32(rows[place])), impacts[place] * factor
            if row >= n or not 0 <= impact <= np.float32(LARGEST):
                return False
            if masked and not mask[row]:
                continue
            score = scores[row] + impact
            for _ in range(1, times):
                score += impact
            scores[row] = score
            block = row >> shift
            tops[block] = max(tops[block], score)  # no branch: it could not be foreseen, and cost most of the time
        return True

    @njit(nogil=True)
    def sum_up(rows, impacts, weight, scores, sums):  # type: ignore[no-untyped-def]
        """Add a column to the scores of all, and to their sum and the sum of their squares what these grow by."""
        times, factor = np.int64(1), np.float32(weight)
        if weight <= 16 and weight == np.int64(weight):
            times, factor = np.int64(weight), np.float32(1)
        n, total, squares = np.uint64(len(scores)), 0.0, 0.0  # in float64
        for place in range(len(rows)):
            row, impact = np.uint64(np.uint32(rows[place])), impacts[place] * factor
            if row >= n or not 0 <= impact <= np.float32(LARGEST):
                return False
            before = scores[row]
            score = before + impact
            for _ in range(1, times):
                score += impact
            scores[row] = score
            old, new = np.float64(before), np.float64(score)
            total += new - old
            squares += new * new - old * old
        sums[0] += total
        sums[1] += squares
        return True

    @njit(nogil=True)
    def sum_columns(rows, impacts, starts, terms, weights, scores, sums):  # type: ignore[no-untyped-def]
        """Columns of a table one after the other; false if one is broken."""
        for place in range(len(terms)):
            first, last = starts[terms[place]], starts[terms[place] + 1]
            if first < 0 or last < first or last > len(rows):
                return False
            if not sum_up(rows[first:last], impacts[first:last], weights[place], scores, sums):
                return False
        return True

    @njit(nogil=True)
    def cut(counts, k):  # type: ignore[no-untyped-def]
        """The step that the k-th best value is on, and how many are above it; -1 and all where there are fewer. Empties counts."""
        step, above = -1, 0
        for each in range(STEPS - 1, -1, -1):
            if step < 0:
                if above + counts[each] >= k:
                    step = each
                else:
                    above += counts[each]
            counts[each] = 0
        return step, above

    @njit(nogil=True)
    def keep(scores, rows, size, full, score, row):  # type: ignore[no-untyped-def]
        """Put a row into a heap of the `full` best, worst first. Rows ascend, so of equal scores those in it are better."""
        place = size
        if size == full:
            if score <= scores[0]:
                return size
            place, child, size = 0, 1, size - 1
            while child < full:
                if child + 1 < full and (
                    scores[child + 1] < scores[child]
                    or (scores[child + 1] == scores[child] and rows[child + 1] > rows[child])
                ):
                    child += 1
                if score <= scores[child]:
                    break
                scores[place], rows[place] = scores[child], rows[child]
                place, child = child, 2 * child + 1
        else:
            while place > 0 and score <= scores[(place - 1) // 2]:
                scores[place], rows[place] = scores[(place - 1) // 2], rows[(place - 1) // 2]
                place = (place - 1) // 2
        scores[place], rows[place] = score, row
        return size + 1

    @njit(nogil=True)
    def find_tops(scores, tops, bits):  # type: ignore[no-untyped-def]
        """The top of each block of scores."""
        for block in range(len(tops)):
            top = np.float32(0)
            for row in range(block << bits, min(len(scores), (block + 1) << bits)):
                top = max(top, scores[row])
            tops[block] = top

    @njit(nogil=True)
    def take(scratch, found_rows, found_scores, emptied):  # type: ignore[no-untyped-def]
        """Write the k best rows of the scores, in any order, and make all tops 0 again, and all scores if they are `emptied`."""
        scores, tops, counts, some_rows, some_scores, bits = scratch
        k, peak = len(found_rows), np.float32(0)
        for block in range(len(tops)):
            peak = max(peak, tops[block])
        if peak == 0:
            return
        scale, least = min(np.float32(STEPS - 1) / peak, np.float32(LARGEST)), np.float32(0)
        if len(tops) > k:
            for block in range(len(tops)):
                if tops[block] > 0:
                    counts[np.int64(tops[block] * scale)] += 1
            step = cut(counts, k)[0]
            if step > 0:  # a little lower, for the step of a score is rounded
                least = np.float32(step) / scale * np.float32(0.99999)
        size = 0
        for block in range(len(tops)):
            top = tops[block]
            if top > 0:
                first, last = block << bits, min(len(scores), (block + 1) << bits)
                if top >= least:
                    for row in range(first, last):
                        score = scores[row]
                        some_rows[size], some_scores[size] = row, score  # written over, unless it counts
                        size += int(score > 0) & int(score >= least)
                if emptied:
                    for row in range(first, last):
                        scores[row] = 0
                tops[block] = 0
        if size <= k:
            for place in range(size):
                found_rows[place], found_scores[place] = some_rows[place], some_scores[place]
            return
        for place in range(size):
            counts[np.int64(some_scores[place] * scale)] += 1
        step, above = cut(counts, k)
        # What lies above the step is written first, and behind it the heap of those on the step that still find room.
        written, on_step = 0, 0
        for place in range(size):
            row, score = some_rows[place], some_scores[place]
            at = np.int64(score * scale)
            if at > step:
                found_rows[written], found_scores[written] = row, score
                written += 1
            elif at == step:
                on_step = keep(found_scores[above:], found_rows[above:], on_step, k - above, score, row)

    @njit(nogil=True)
    def search(rows, impacts, starts, terms, weights, bounds, mask, scratch, found_rows, found_scores):  # type: ignore[no-untyped-def]
        """Queries one after the other; false if a column is broken."""
        for query in range(len(bounds) - 1):
            for place in range(bounds[query], bounds[query + 1]):
                first, last = starts[terms[place]], starts[terms[place] + 1]
                if first < 0 or last < first or last > len(rows):
                    return False
                if not add(rows[first:last], impacts[first:last], weights[place], mask, scratch):
                    return False
            take(scratch, found_rows[query], found_scores[query], True)
        return True

    return _Kernel(search, add, take, find_tops, sum_up, sum_columns)
