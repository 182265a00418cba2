"""What of a hit answers the query, by the words that the index knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rag.core.snippets import Snippet, Terms, snippet, words
from rag.core.types import Document, Query
from rag.ingest.sentences import sentences

if TYPE_CHECKING:
    from retrievers.index_protocol import Index


def terms_of(index: Index | None) -> Terms:
    """The analyzer of the index's lexical leg, which is not opened for it; plain words where there is none."""
    facts = index.facts("lexical").get("analyzer") if index is not None and "lexical" in index.legs else None
    if not isinstance(facts, Mapping):
        return words
    from retrievers.analysis.multilingual import described_analyzer

    return described_analyzer(facts).terms


def snippet_of(document: Document, query: Query, terms: Terms) -> Snippet:
    """The sentence of a passage that matches the question as it was asked, or as it is understood alone."""
    return snippet(document.text, sentences(document.text), terms(query.root.text), terms)
