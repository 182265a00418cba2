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


@compiled
def find_tops(scores, tops, bits):  # type: ignore[no-untyped-def]
    """The top of each block of scores."""
    for block in range(len(tops)):
        top = np.float32(0)
        for row in range(block << bits, min(len(scores), (block + 1) << bits)):
            top = max(top, scores[row])
        tops[block] = top


@compiled
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


@compiled
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


@compiled
def add_products(rows, impacts, starts, columns, weights, sums):  # type: ignore[no-untyped-def]
    """Add weighted columns to sums, in their order: float64 products and sums as numpy's, never fused into one step."""
    for place in range(len(columns)):
        weight = weights[place]
        for posting in range(starts[columns[place]], starts[columns[place] + 1]):
            sums[rows[posting]] += np.float64(impacts[posting]) * weight
