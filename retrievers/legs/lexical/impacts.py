"""BM25 as weights of postings: what each term adds to each document's score (bm25s: Lù 2024, arXiv:2407.03618).

BM25 is a sum over query terms, so all of it but the sum is done when the index is built.
"""

from __future__ import annotations

import numpy as np

from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.legs.lexical.tokens import Tokens
from retrievers.stores.postings import Columns

WITH_FLOOR = ("bm25l", "bm25+")
"""Variants by which a term adds something to documents without it."""

_LEAST = np.float32(1e-30)
"""Stands for an impact of zero (robertson: terms in half of the documents; atire: in all). It vanishes in any
other impact, but a document with a query term keeps a score above zero, and one without stays at zero."""


def impacts(tokens: Tokens, *, n_terms: int, settings: LexicalSettings) -> Columns:
    """bm25s' scores. Peak memory is about 40 bytes per posting beside the tokens."""
    import bm25s

    floor, starts = np.zeros(n_terms, np.float32), np.zeros(n_terms + 1, dtype=np.int64)
    weights, rows = np.empty(0, np.float32), np.empty(0, np.int32)
    if n_terms:  # bm25s divides by the mean length
        engine = bm25s.BM25(k1=settings.k1, b=settings.b, delta=settings.delta, method=settings.variant)
        scores = engine.build_index_from_ids(range(n_terms), tokens, show_progress=False)
        weights, rows, starts = scores["data"], scores["indices"], scores["indptr"]
        floor = engine.nonoccurrence_array
    return Columns(
        impacts=np.maximum(weights, _LEAST, dtype=np.float32),
        rows=rows.astype(np.int32, copy=False),
        starts=starts.astype(np.int64, copy=False),
        floor=floor if settings.variant in WITH_FLOOR else None,
    )
