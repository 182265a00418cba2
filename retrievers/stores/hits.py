"""The best rows of a query: choice, order and ties, for all that score rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Weighted = Mapping[str, float]
"""A query: term -> weight, none of them zero."""

Found = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Rows and scores, best first, ties by row ascending; for a batch [n_queries, k], filled up with -1 and 0."""


def nothing_found(n_queries: int, k: int) -> Found:
    """Room for the hits of a batch."""
    return np.full((n_queries, k), -1, dtype=np.int32), np.zeros((n_queries, k), dtype=np.float32)


def as_batch(
    found: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]], *, k: int, nothing: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Hits of each query as a batch [n_queries, k]: rows filled up with -1, and scores with `nothing`."""
    rows = np.full((len(found), k), -1, dtype=np.int32)
    scores = np.full((len(found), k), nothing, dtype=np.float32)
    for number, (its_rows, its_scores) in enumerate(found):
        n = min(k, len(its_rows))
        rows[number, :n], scores[number, :n] = its_rows[:n], its_scores[:n]
    return rows, scores


def best(rows: NDArray[np.int32], scores: NDArray[np.float32], *, k: int) -> Found:
    """The k best of rows given in ascending order; ties by row ascending, at the cut too."""
    if len(rows) > k:
        cut = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = np.flatnonzero(scores >= cut)
        rows, scores = rows[kept], scores[kept]
    order = np.argsort(-scores, kind="stable")[:k]
    return rows[order], scores[order]


def put_in_order(rows: NDArray[np.int32], scores: NDArray[np.float32]) -> None:
    """Put a batch [n_queries, k] of hits in any order into rank order; scores are not negative, and 0 where a row is -1.

    The bits of floats that are not negative sort as integers do, so score and row fit in one integer, and one call sorts the
    batch."""
    keys = scores.view(np.int32).astype(np.int64)
    keys <<= 32
    keys |= (~rows).view(np.uint32)
    keys.sort(axis=1)
    rows[:] = ~keys[:, ::-1]  # of which the lower half
    scores.view(np.int32)[:] = keys[:, ::-1] >> 32


def merged(found: Sequence[Found], *, k: int) -> Found:
    """The best k of several hit lists of each query, which share no row. `found`: batches of as many queries, not none."""
    rows = np.concatenate([each for each, _ in found], axis=1)
    scores = np.concatenate([each for _, each in found], axis=1)
    order = np.lexsort((rows, -np.where(rows >= 0, scores, -np.inf)), axis=1)[:, :k]
    return np.take_along_axis(rows, order, 1).astype(np.int32), np.take_along_axis(scores, order, 1)


def tied(scores: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Places of the `n` best hits, and of all that tie with the last of them; -inf is no hit."""
    places = np.flatnonzero(scores > -np.inf)
    if len(places) > n:
        places = places[scores[places] >= np.partition(scores[places], -n)[-n]]
    return places
