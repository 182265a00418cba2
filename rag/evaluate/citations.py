"""Whether an answer cites the documents that support it. Pure functions over document ids.

A citation of a chunk counts for its document. Which sentences a citation stands behind is not looked at: that takes a
model that judges entailment, as in ALCE (Gao et al., EMNLP 2023, arXiv 2305.14627).
"""

from __future__ import annotations

from collections.abc import Collection

from rag.core.types import Answer


def cited_documents(answer: Answer, *, by_model: bool = False) -> frozenset[str]:
    """doc_ids of the documents that an answer cites; `by_model`: only where the model wrote the marker itself."""
    documents = {hit.doc_id: hit.document.parent for hit in answer.context.passages}
    return frozenset(
        documents.get(citation.doc_id, citation.doc_id)
        for citation in answer.citations
        if citation.by == "model" or not by_model
    )


def citation_precision(cited: Collection[str], supporting: Collection[str]) -> float:
    """Share of the cited documents that support the answer. 0 if none is cited, so that silence gains nothing."""
    return len(set(cited) & set(supporting)) / len(set(cited)) if cited else 0.0


def citation_recall(cited: Collection[str], supporting: Collection[str]) -> float:
    """Share of the supporting documents, of which there is at least one, that are cited."""
    return len(set(cited) & set(supporting)) / len(set(supporting))
