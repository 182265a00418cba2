"""Stretches of a document's text that a node picked out: names of a type, or snippets. They stand in its metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rag.core.types import Document

_FIELD = "spans"


def with_picked(document: Document, spans: Sequence[tuple[int, int]]) -> Document:
    """The same document with these spans of its text in its metadata, in the order given, each with what stands there."""
    told = [{"start": start, "end": end, "text": document.text[start:end]} for start, end in spans]
    return replace(document, metadata={**document.metadata, _FIELD: told})


def picked_of(document: Document) -> list[dict[str, Any]]:
    """`start`, `end` and `text` of each that still stands there: what came behind may have cut the text, or joined it.

    None where nothing was picked out, or the field is somebody's own.
    """
    value = document.metadata.get(_FIELD)
    if not isinstance(value, list) or not all(map(_is_span, value)):
        return []
    return [span for span in value if document.text[span["start"] : span["end"]] == span["text"]]


def _is_span(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"start", "end", "text"}
        and isinstance(value["start"], int)
        and isinstance(value["end"], int)
        and isinstance(value["text"], str)
    )
