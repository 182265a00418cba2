"""The best hits that a server gives, with ties in order of row at the cut too: a server keeps any of those that are equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from ragline_servers.store import MOST_HITS, Record

_MORE = 16
"""Hits beyond those asked for, so that a tie at the cut can be seen."""

_TIES = 1_001
"""Hits that a retriever may ask beyond its own k, to see what ties with the last."""

Best = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Rows and scores, best first, ties by row ascending."""

Ask = Callable[[Sequence[int], int], list[list[Record]]]
"""Numbers of queries, how many hits -> hits of each."""


def best_of(n_queries: int, ask: Ask, *, k: int) -> list[Best]:
    """The best k of each query, and all that tie with the last of them as far as the server gives them.

    Raises:
        SpecError: k is more than a server gives.
    """
    if k > MOST_HITS + _TIES:
        raise SpecError(f"k: a server gives at most {MOST_HITS:,} hits for a question, and {k:,} were asked for")
    k = min(k, MOST_HITS)
    depth = min(k + _MORE, MOST_HITS)
    found = []
    for number, records in enumerate(ask(range(n_queries), depth) if n_queries else ()):
        rows, scores = _in_order(records)
        deeper = depth
        while len(rows) == deeper < MOST_HITS and scores[-1] == scores[k - 1]:
            deeper = min(4 * deeper, MOST_HITS)
            rows, scores = _in_order(ask([number], deeper)[0])
        kept = slice(None) if len(rows) <= k else scores >= scores[k - 1]
        found.append((rows[kept], scores[kept]))
    return found


def _in_order(records: Sequence[Record]) -> Best:
    rows = np.array([record.id for record in records], dtype=np.int64)
    scores = np.array([record.score for record in records], dtype=np.float64)
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]
