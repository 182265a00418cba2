"""Where the lines of a scan stand: as OCR read them when the passage was indexed. Knows no PDF."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rag.types import Document

Box = tuple[float, float, float, float]
"""Left, top, right and bottom: points from the left and from the top of a page as it is shown."""

_UPRIGHT = 2.0
"""A line that is so many times as high as wide runs downwards."""


def scanned_lines(passage: Document) -> Iterator[tuple[int, str, Box]]:
    """Page, text and box of each line of a passage, as far as that belongs to it.

    None where it was not read by OCR, or before boxes were kept.
    """
    start, end = passage.metadata.get("start", 0), passage.metadata.get("end", 0)
    for first, last, page, *box in passage.metadata.get("ocr_lines", ()):
        begins, ends = max(first, start), min(last, end)
        if begins < ends:
            part = _part((box[0], box[1], box[2], box[3]), begins - first, ends - first, last - first)
            yield page, passage.text[begins - start : ends - start], part


def characters(lines: Iterable[Any]) -> Iterator[tuple[int, str, Box]]:
    """Page, character and box of each: what `scanned_lines` gives, in equal parts. OCR tells no boxes of letters.

    >>> [*characters([(2, "ab", (0, 0, 8, 5))])]
    [(2, 'a', (0.0, 0, 4.0, 5)), (2, 'b', (4.0, 0, 8.0, 5))]
    """
    for page, text, box in lines:
        for place, character in enumerate(text):
            yield page, character, _part(box, place, place + 1, len(text))


def _part(box: Box, first: int, last: int, of: int) -> Box:
    """The stretch of a line from one of its characters to another, all of them as wide."""
    left, top, right, bottom = box
    if of > 1 and bottom - top > _UPRIGHT * (right - left):
        high = (bottom - top) / of
        return left, top + high * first, right, top + high * last
    wide = (right - left) / of
    return left + wide * first, top, left + wide * last, bottom
