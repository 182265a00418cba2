"""Lets lexical search find code by the words inside its identifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rag.types import Document

_WORD = re.compile(r"[^\W\d]\w*")
_SEVERAL = re.compile(r"_|[a-z\d][A-Z]|[A-Z]{2}[a-z]{2}")
"""What an identifier of several words shows, and prose in any language does not."""

_PART = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")
"""An acronym, a word or a number. Letters outside ASCII count as lower case."""


class IdentifierTransform:
    """Adds the parts of camelCase and snake_case identifiers to what legs index of a document.

    `parse_HTTPResponse` adds "parse HTTP Response"; the identifier itself stays where it is. Text and prompts
    do not change. Each identifier adds its parts once.
    """

    def transform(self, documents: Sequence[Document]) -> list[Document]:
        """One document per document, in order; those without such identifiers as they are."""
        return [self._with_parts(document) for document in documents]

    def _with_parts(self, document: Document) -> Document:
        text = document.index_text
        added = [part for word in dict.fromkeys(_WORD.findall(text)) for part in parts(word)]
        if not added:
            return document
        return replace(document, metadata={**document.metadata, "index_text": f"{text} {' '.join(added)}"})


def parts(word: str) -> list[str]:
    """The words inside an identifier, in order; none where there is only one.

    >>> parts("parse_HTTPResponse2")
    ['parse', 'HTTP', 'Response', '2']
    >>> parts("plain")
    []
    """
    pieces: list[str] = _PART.findall(word) if _SEVERAL.search(word) else []
    return pieces if len(pieces) > 1 else []
