"""The part of a passage around what matches a question, no longer than there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag.core.types import Document
from rag.ingest.sentences import sentences
from rag.stages.cite import support
from rag.stages.passages import numbered
from rag.stages.ruler import Ruler


def stretch(document: Document, question: str, number: int, *, room: int, ruler: Ruler) -> tuple[Document, int] | None:
    """Whole sentences around the one that shares most words with a question, and their tokens; None where not one fits.

    Sentences are added by turns behind it and before it. Without a sentence that shares a word it is the beginning.
    """
    spans = list(sentences(document.text))
    if not spans:
        return None
    found = support(question, document.text, threshold=0.0)
    centre = next((place for place, span in enumerate(spans) if found is not None and span[1] > found[0]), 0)
    low, high, best = 1, len(spans), None
    while low <= high:
        middle = (low + high) // 2
        shorter = _around(document, spans, centre, middle)
        [tokens] = ruler.count([numbered(shorter, number)])
        if tokens <= room:
            low, best = middle + 1, (shorter, tokens)
        else:
            high = middle - 1
    return best


def _around(document: Document, spans: list[tuple[int, int]], centre: int, n: int) -> Document:
    """The n sentences around one: as many behind it as before it, one more behind, or what there is."""
    first = max(0, min(centre - (n - 1) // 2, len(spans) - n))
    return cut(document, spans[first][0], spans[first + n - 1][1])


def cut(document: Document, start: int, end: int) -> Document:
    """The characters of a passage from `start` to `end`; a chunk's own span moves with them."""
    text = document.text[start:end]
    left = len(text) - len(text.lstrip())
    span = span_of(document)
    moved = {"start": min(span[0] + start + left, span[1]), "end": min(span[0] + end, span[1])} if span else {}
    return replace(document, text=text.strip(), metadata={**document.metadata, **moved})


def span_of(document: Document) -> tuple[int, int] | None:
    """Where a chunk stands in its parent, if it says so."""
    start, end = document.metadata.get("start"), document.metadata.get("end")
    return (start, end) if isinstance(start, int) and isinstance(end, int) and start < end else None


def shares(sizes: Sequence[int], room: int) -> list[int]:
    """Room for each of some sizes that together have too much: what is small is whole, the others have equal shares.

    >>> shares([10, 500, 90, 400], 300)
    [10, 100, 90, 100]
    """
    given, left = [0] * len(sizes), room
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    for n, place in enumerate(order):
        given[place] = min(sizes[place], left // (len(order) - n))
        left -= given[place]
    return given
