"""Lets legs find a chunk by what its document is about, though the chunk does not say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag.core.arguments import require_positive
from rag.core.types import Document
from rag.ingest.sentences import sentences


class ContextTransform:
    """Puts the first sentence of its document before what legs index of a chunk, behind title and headings.

    Title and headings stand there anyway. Text and prompts do not change. The first chunk of a document, a unit
    that is a whole document, and a document that begins with nothing but headings stay as they are.

    `transform.written_context` of the plug-in `ragline-recipes` has a model write the line.

    Args:
        max_words: words of the sentence that are taken.
    """

    def __init__(self, *, max_words: int = 30) -> None:
        require_positive("transform.context", max_words=max_words)
        self.max_words = max_words
        self._parent, self._line = "", ""

    def transform(self, documents: Sequence[Document]) -> list[Document]:
        """One document per document, in order. Chunks of a document come in their order, over several calls too."""
        return [self._with_context(document) for document in documents]

    def _with_context(self, document: Document) -> Document:
        if begins_document(document):
            self._parent, self._line = document.parent, self._first_sentence(document)
            return document
        return with_line(document, self._line) if document.parent == self._parent else document

    def _first_sentence(self, document: Document) -> str:
        """The first that is no heading, on one line."""
        known = {part.casefold() for part in (*document.title.split(" › "), *document.metadata.get("headings", ()))}
        for start, end in sentences(document.text[:4000]):
            words = document.text[start:end].split()
            if " ".join(words).casefold() not in known:
                return " ".join(words[: self.max_words])
        return ""


def begins_document(document: Document) -> bool:
    """Whether a unit is a whole document or its first chunk."""
    return document.parent == document.doc_id or document.metadata.get("start") == 0


def with_line(document: Document, line: str) -> Document:
    """The unit with a line in what legs index, behind its title; as it is where the line is empty."""
    if not line:
        return document
    title = f"{document.title} " if document.title else ""
    rest = document.index_text.removeprefix(title)
    return replace(document, metadata={**document.metadata, "index_text": f"{title}{line} {rest}"})
