"""Rows and scores -> the best documents of an index."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag.core.ranking import ranked
from rag.core.types import ScoredDocument
from retrievers.index_protocol import Index
from retrievers.stores.hits import tied


def best_documents(
    index: Index, rows: NDArray[np.int64], scores: NDArray[np.float64], *, k: int
) -> tuple[ScoredDocument, ...]:
    """The k best; all documents that tie with the last are looked at, so that doc_id decides."""
    places = tied(scores, k)
    documents = index.documents.many(rows[places].tolist())
    pairs = zip(documents, scores[places].tolist(), strict=True)
    return ranked((ScoredDocument(document=document, score=score) for document, score in pairs), k=k)
