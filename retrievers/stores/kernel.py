"""Compiled loops over postings. Importing this imports numba, which takes a second.

What is compiled is kept beside this file, as Python keeps what it compiles, or where numba keeps it if nothing can be written here:
to compile takes seconds, which every process paid that warmed up an index. Numba takes what was kept for the same processor, for
this file with the same bytes, and for its own version.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numba import njit
from numba.core import caching

LARGEST = 1e30
"""Of an impact times its weight: so many are added that float32 holds the sum."""

STEPS = 1024
STRETCH, BITS = 1 << 16, 5
"""Rows whose scores lie in the processor's own memory while columns are added, and the bits of the size of a block of them."""

_FunctionCache: Any = caching.FunctionCache  # some versions of numba say its type, and that of none of its methods


class _Kept(_FunctionCache):  # type: ignore[misc]
    """Files that cannot be read are forgotten, and those that cannot be written are done without."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever unpickling says of broken bytes
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


def compiled(function: Callable[..., Any]) -> Any:
    """The function in machine code, which lets go of the interpreter while it runs."""
    made: Any = njit(nogil=True)(function)
    with suppress(RuntimeError):  # there is no folder that can be written
        made._cache = _Kept(function)
    return made


@compiled
def add(rows, impacts, weight, mask, begin, scores, tops):  # type: ignore[no-untyped-def]
    """Add a piece of a column to the scores of rows from `begin` on; false if it has a row that there is not, or an impact
    that is no number to add."""
    times, factor = np.int64(1), np.float32(weight)
    if weight <= 16 and weight == np.int64(weight):
        times, factor = np.int64(weight), np.float32(1)
    n, first, masked = np.uint64(len(scores)), np.uint64(begin), len(mask) > 0
    for place in range(len(rows)):
        row, impact = np.uint64(np.uint32(rows[place])) - first, impacts[place] * factor
        if row >= n or not 0 <= impact <= np.float32(LARGEST):
            return False
        if masked and not mask[row + first]:
            continue
        score = scores[row] + impact
        for _ in range(1, times):
            score += impact
        scores[row] = score
        block = row >> np.uint64(BITS)
        tops[block] = max(tops[block], score)  # no branch: it could not be foreseen, and cost most of the time
    return True


@compiled
def end_before(rows, first, last, stop):  # type: ignore[no-untyped-def]
    """The place of a column from `first` on where rows from `stop` on begin."""
    low, step = first, 1
    while low + step < last and rows[low + step] < stop:
        low, step = low + step, 2 * step
    high = min(low + step, last)
    while low < high:
        middle = (low + high) >> 1
        if rows[middle] < stop:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
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


@compiled
def sum_columns(rows, impacts, starts, terms, weights, scores, sums):  # type: ignore[no-untyped-def]
    """Columns of a table one after the other; false if one is broken."""
    for place in range(len(terms)):
        first, last = starts[terms[place]], starts[terms[place] + 1]
        if first < 0 or last < first or last > len(rows):
            return False
        if not sum_up(rows[first:last], impacts[first:last], weights[place], scores, sums):
            return False
    return True


@compiled
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


@compiled
def keep(scores, rows, size, full, score, row):  # type: ignore[no-untyped-def]
    """Put a row into a heap of the `full` best, worst first: of equal scores the highest row."""
    place = size
    if size == full:
        if score < scores[0] or (score == scores[0] and row > rows[0]):
            return size
        place, child, size = 0, 1, size - 1
        while child < full:
            if child + 1 < full and (
                scores[child + 1] < scores[child]
                or (scores[child + 1] == scores[child] and rows[child + 1] > rows[child])
            ):
                child += 1
            if score < scores[child] or (score == scores[child] and row > rows[child]):
                break
            scores[place], rows[place] = scores[child], rows[child]
            place, child = child, 2 * child + 1
    else:
        while place > 0:
            above = (place - 1) // 2
            if score > scores[above] or (score == scores[above] and row < rows[above]):
                break
            scores[place], rows[place] = scores[above], rows[above]
            place = above
    scores[place], rows[place] = score, row
    return size + 1


@compiled
def below_best(tops, counts, k):  # type: ignore[no-untyped-def]
    """A value below the k-th best of the tops, and little below it; 0 where there are fewer."""
    peak = np.float32(0)
    for block in range(len(tops)):
        peak = max(peak, tops[block])
    if peak == 0 or len(tops) <= k:
        return np.float32(0)
    scale = min(np.float32(STEPS - 1) / peak, np.float32(LARGEST))
    for block in range(len(tops)):
        if tops[block] > 0:
            counts[np.int64(tops[block] * scale)] += 1
    step = cut(counts, k)[0]
    # A little lower, for the step of a score is rounded.
    return np.float32(step) / scale * np.float32(0.99999) if step > 0 else np.float32(0)


@compiled
def gather(scores, tops, begin, below, some_rows, some_scores, size):  # type: ignore[no-untyped-def]
    """Put aside the rows that score more than `below`, behind the `size` that are there. Makes all scores and tops 0 again."""
    for block in range(len(tops)):
        top = tops[block]
        if top > 0:
            first, last = block << BITS, min(len(scores), (block + 1) << BITS)
            if top > below:
                for row in range(first, last):
                    score = scores[row]
                    some_rows[size], some_scores[size] = begin + row, score  # written over, unless it counts
                    size += int(score > below)
            scores[first:last] = 0
            tops[block] = 0
    return size


@compiled
def choose(some_rows, some_scores, size, counts, found_rows, found_scores):  # type: ignore[no-untyped-def]
    """Write the k best of the rows that are put aside, in any order."""
    k, peak = len(found_rows), np.float32(0)
    if size <= k:
        for place in range(size):
            found_rows[place], found_scores[place] = some_rows[place], some_scores[place]
        return
    for place in range(size):
        peak = max(peak, some_scores[place])
    scale = min(np.float32(STEPS - 1) / peak, np.float32(LARGEST))
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


@compiled
def search(rows, impacts, starts, terms, weights, bounds, mask, n, scratch, found_rows, found_scores):  # type: ignore[no-untyped-def]
    """Queries one after the other over `n` rows; false if a column is broken."""
    scores, tops, counts, some_rows, some_scores = scratch
    k = found_rows.shape[1]
    for query in range(len(bounds) - 1):
        begin, end = bounds[query], bounds[query + 1]
        done, size, below = starts[terms[begin:end]], 0, np.float32(0)
        for place in range(begin, end):
            if starts[terms[place]] < 0 or not starts[terms[place]] <= starts[terms[place] + 1] <= len(rows):
                return False
        for row in range(0, n, STRETCH):
            stop = min(n, row + STRETCH)
            own, own_tops = scores[: stop - row], tops[: ((stop - row - 1) >> BITS) + 1]
            for place in range(begin, end):
                first, last = done[place - begin], starts[terms[place] + 1]
                if stop < n:
                    last = end_before(rows, first, last, stop)
                if not add(rows[first:last], impacts[first:last], weights[place], mask, row, own, own_tops):
                    return False
                done[place - begin] = last
            if below == 0:
                below = below_best(own_tops, counts, k)
            size = gather(own, own_tops, row, below, some_rows, some_scores, size)
            if size > k + (k >> 3):
                choose(some_rows, some_scores, size, counts, found_rows[query], found_scores[query])
                some_rows[:k], some_scores[:k], size = found_rows[query], found_scores[query], k
                below = found_scores[query].min()  # a later row of this score comes after those that are here
        choose(some_rows, some_scores, size, counts, found_rows[query], found_scores[query])
    return True


@compiled
def add_products(rows, impacts, starts, columns, weights, sums):  # type: ignore[no-untyped-def]
    """Add weighted columns to sums, in their order: float64 products and sums as numpy's, never fused into one step."""
    for place in range(len(columns)):
        weight = weights[place]
        for posting in range(starts[columns[place]], starts[columns[place] + 1]):
            sums[rows[posting]] += np.float64(impacts[posting]) * weight
