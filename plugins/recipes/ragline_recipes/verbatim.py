"""Where a quotation stands in a text, for what a model says that it copied. Pure functions.

A model copies with other dashes, quotation marks, blanks and letter case than the text has, and spells Greek letters out.
So a quotation that is not there as it stands is looked for once more with both sides folded, and its place is told in
characters of the text as it is. What is then not found is not in the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

Span = tuple[int, int]

_QUOTES = frozenset("\"'`´")


def occurrences(quotation: str, text: str) -> list[Span]:
    """Every place at which a text has these words: first character, one past the last; in order, without overlap.

    A quotation begins and ends with whole words, in scripts that put spaces between them. Places that have its very
    characters are all of them where there is one; else those that are the same once folded.

    >>> occurrences("TNF-alpha", "Both TNF‑α and tnf-α."), occurrences("US", "He told us of the US.")
    ([(5, 10), (15, 20)], [(18, 20)])
    >>> occurrences("art", "A part of art.")
    [(10, 13)]
    """
    quotation = quotation.strip()
    exact = _found(quotation, text, text, [(place, place + 1) for place in range(len(text))])
    if exact:
        return exact
    wanted, _ = _folded(quotation)
    folded, spans = _folded(text)
    return _found(wanted.strip(), folded, text, spans)


def outermost(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, without those that lie within another: of "York" and "New York" the longer.

    >>> outermost([(4, 8), (0, 8), (6, 12)])
    [(0, 8), (6, 12)]
    """
    kept: list[Span] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or end > kept[-1][1]:
            kept.append((start, end))
    return kept


def _found(wanted: str, folded: str, text: str, spans: Sequence[Span]) -> list[Span]:
    """Where `wanted` stands in a folded text, as whole words of the text itself.

    Args:
        spans: where each character of `folded` stands in `text`.
    """
    kept: list[Span] = []
    start = folded.find(wanted) if wanted else -1
    while start >= 0:
        end = start + len(wanted)
        span = spans[start][0], spans[end - 1][1]
        fits = _whole(text, span) and (not kept or kept[-1][1] <= span[0])
        if fits:
            kept.append(span)
        start = folded.find(wanted, end if fits else start + 1)
    return kept


def _whole(text: str, span: Span) -> bool:
    """Whether no word is cut on either side."""
    start, end = span
    cut_before = start > 0 and _one_word(text[start - 1], text[start])
    return not cut_before and not (end < len(text) and _one_word(text[end - 1], text[end]))


def _one_word(before: str, after: str) -> bool:
    """Whether two characters beside each other are of one word. An accent always belongs to what it stands on."""
    return bool(unicodedata.combining(after)) or (_joins(before) and _joins(after))


def _joins(c: str) -> bool:
    """Whether a character makes one word with its like: digits, and letters of scripts that have capitals."""
    return c.isdigit() or c.lower() != c.upper()


def _folded(text: str) -> tuple[str, list[Span]]:
    """A text without the differences that copying makes, and where in `text` each of its characters comes from."""
    folded: list[str] = []
    spans: list[Span] = []
    for place, c in enumerate(text):
        for piece in _plain(c):
            if piece == " " and folded and folded[-1] == " ":
                spans[-1] = (spans[-1][0], place + 1)
                continue
            folded.append(piece)
            spans.append((place, place + 1))
        if folded and spans[-1][1] == place and unicodedata.combining(c):
            spans[-1] = (spans[-1][0], place + 1)  # an accent belongs to its letter
    return "".join(folded), spans


def _plain(c: str) -> str:
    """A character as it is compared."""
    if c.isspace():
        return " "
    if c in _QUOTES or unicodedata.category(c) in ("Pi", "Pf"):
        return "'"
    if c == "\u2212" or unicodedata.category(c) == "Pd":
        return "-"
    return "".join(map(_letter, unicodedata.normalize("NFKD", c)))


def _letter(c: str) -> str:
    """A letter in lower case, a Greek one by its name, an accent as nothing."""
    if unicodedata.combining(c):
        return ""
    name = unicodedata.name(c, "")
    return name.rpartition(" ")[2].lower() if name.startswith("GREEK ") and c.isalpha() else c.casefold()
