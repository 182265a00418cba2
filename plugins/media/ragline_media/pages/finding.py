"""Where words stand among the characters of a page, and where the lines of a scan do, as OCR read them. Knows no PDF.

Two libraries that read one PDF agree on its letters and digits, and on little else: spaces, line ends, hyphens, ligatures and the
order of accents differ. So both texts are compared by letters and digits alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Any
from unicodedata import normalize

from rag.types import Document

_NEAR = 60
"""Letters on each side by which one of several places is chosen."""
_MOST_PLACES = 100
_LEAST_RUN = 6
"""Letters of a run that counts where words are not found as one."""
_LEAST_SHARE = 0.7
"""Of the letters that have to be found then."""
_LONGEST = 1_000
"""Letters of words that are looked for so: it takes as long as both texts together."""
_PIECES = re.compile(r"[^.!?。！？\n]+[.!?。！？\n]*")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Letters:
    """Letters and digits of a text, without case and accents, and which character of it each is of."""

    text: str
    places: Sequence[int]

    @classmethod
    def of(cls, text: str) -> Letters:
        """
        >>> Letters.of("Caf\\u00e9, \\ufb01ve").text, Letters.of("a b").places
        ('cafefive', [0, 2])
        """
        found = [
            (letter, place)
            for place, character in enumerate(text)
            for letter in normalize("NFKD", character).casefold()
            if letter.isalnum()
        ]
        return cls("".join(letter for letter, _ in found), [place for _, place in found])

    def span(self, first: int, last: int) -> Span:
        """The characters that letters `first` to `last` (not included) are of."""
        return self.places[first], self.places[last - 1] + 1


def found(words: str, text: str, *, passage: str = "") -> list[Span]:
    """Where words stand in a text: spans of its characters in order, none where they do not.

    Args:
        passage: what the words are of. Of several places the one is taken with the same words around it.
    """
    wanted, letters = Letters.of(words), Letters.of(text)
    if not wanted.text:
        return []
    if places := [*_places(wanted.text, letters.text)]:
        before, behind = _around(wanted.text, Letters.of(passage).text)
        first = max(places, key=lambda place: _alike(letters.text, place, place + len(wanted.text), before, behind))
        return [letters.span(first, first + len(wanted.text))]
    if words.strip() == passage.strip():
        return _piece_by_piece(passage, letters)
    return _in_runs(wanted.text, letters)


def _places(words: str, text: str) -> Iterator[int]:
    place = text.find(words)
    for _ in range(_MOST_PLACES):
        if place < 0:
            return
        yield place
        place = text.find(words, place + 1)


def _around(words: str, passage: str) -> tuple[str, str]:
    """Letters before and behind words in their passage."""
    first = passage.find(words)
    if first < 0:
        return "", ""
    last = first + len(words)
    return passage[max(0, first - _NEAR) : first], passage[last : last + _NEAR]


def _alike(text: str, first: int, last: int, before: str, behind: str) -> int:
    """How many letters beside a place are those beside the words."""
    ahead = zip(reversed(text[max(0, first - _NEAR) : first]), reversed(before), strict=False)
    after = zip(text[last : last + _NEAR], behind, strict=False)
    return sum(len([*takewhile(lambda pair: pair[0] == pair[1], pairs)]) for pairs in (ahead, after))


def _piece_by_piece(passage: str, letters: Letters) -> list[Span]:
    """A passage sentence by sentence or line by line, each behind the one before if it stands there: between them may stand the
    foot of a page."""
    spans, after = list[Span](), 0
    for piece in _PIECES.findall(passage):
        wanted = Letters.of(piece).text
        place = letters.text.find(wanted, after) if wanted else -1
        place = letters.text.find(wanted) if wanted and place < 0 else place
        if place >= 0:
            after = place + len(wanted)
            spans.append(letters.span(place, after))
    return sorted(spans)


def _in_runs(wanted: str, letters: Letters) -> list[Span]:
    """Words with something else between them, such as the foot of a page."""
    if len(wanted) > _LONGEST:
        return []
    blocks = SequenceMatcher(None, letters.text, wanted, autojunk=False).get_matching_blocks()
    runs = [block for block in blocks if block.size >= min(_LEAST_RUN, len(wanted))]
    if sum(block.size for block in runs) < _LEAST_SHARE * len(wanted):
        return []
    return [letters.span(block.a, block.a + block.size) for block in runs]


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
