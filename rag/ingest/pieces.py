"""A document as pieces that chunks are packed from: sentences or lines, cut finer where one is too long."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from rag.ingest.sentences import sentences
from rag.ingest.types import Block, ParsedDocument

Ruler = Callable[[Sequence[str]], list[list[tuple[int, int]]]]
"""Texts -> the character spans of each one's tokens, in order."""

Finer = Callable[[str, int, int], Iterator[tuple[int, int]]]
"""A text and a range of it -> spans of smaller pieces there, in order."""

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORDS = re.compile(rf"[{CJK}]|[^\W{CJK}]+|[^\w\s]")
_LINE = re.compile(r"[^\n]+")
_WORD = re.compile(r"\S+")
_PLAIN = bytes(code for code in range(128) if re.match(r"[\w\s]", chr(code)))
_LONGEST_TOKEN = 20
_LONGEST_PIECE = 4000
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Piece:
    """`text[start:end]` of a document, in its block number `block`, and how many tokens that has."""

    start: int
    end: int
    size: int
    block: int


def word_spans(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """The ruler where no encoder is: words, marks, and each character of Chinese, Japanese and Korean."""
    return [[match.span() for match in _WORDS.finditer(text)] for text in texts]


def fits(text: str, limit: float, spans: Ruler) -> bool:
    """Whether a text that a ruler may see whole has at most `limit` tokens. It costs less than its pieces do."""
    if spans is word_spans and _most_words(text) <= limit:
        return True
    return len(text) <= _LONGEST_PIECE and len(_token_ends(text, *spans([text]))) <= limit


def _most_words(text: str) -> float:
    """What `word_spans` and what is added for long tokens cannot pass: a mark is one and begins another. A tenth of the cost."""
    marks = len(text.encode("ascii", "replace").translate(None, _PLAIN))  # and all that is not ASCII
    return len(text.split()) + 2 * marks + len(text) / _LONGEST_TOKEN


def pieces(document: ParsedDocument, *, limit: int, spans: Ruler) -> Iterator[Piece]:
    """Pieces of at most `limit` tokens, in order, that together hold every character that is not space."""
    todo = _candidates(document)
    while batch := list(islice(todo, _BATCH)):
        texts = [document.text[start:end] for _, start, end in batch]
        for (block, start, _), text, tokens in zip(batch, texts, spans(texts), strict=True):
            ends = _token_ends(text, tokens)
            for first, last, size in _fitting(text, 0, len(text), ends, limit):
                yield Piece(start + first, start + last, size, block)


def _candidates(document: ParsedDocument) -> Iterator[tuple[int, int, int]]:
    for number, block in enumerate(document.blocks):
        for start, end in _natural(document.text, block):
            for first, last in _shortened(document.text, start, end):
                yield number, first, last


def _natural(text: str, block: Block) -> Iterator[tuple[int, int]]:
    if block.lines:
        return _lines(text, block.start, block.end)
    return ((block.start + s, block.start + e) for s, e in sentences(text[block.start : block.end]))


def _shortened(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut what is longer than any sentence, at a space where there is one: no ruler should see it whole."""
    while end - start > _LONGEST_PIECE:
        space = text.rfind(" ", start + 1, start + _LONGEST_PIECE)
        cut = space if space > 0 else start + _LONGEST_PIECE
        yield start, cut
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if end > start:
        yield start, end


def _token_ends(text: str, tokens: Sequence[tuple[int, int]]) -> list[int]:
    """Where tokens end. A very long token, or text that the ruler skips, counts as one for every 20
    characters.

    Without that a word-piece vocabulary would call a page of base64 one unknown token.
    """
    ends: list[int] = []
    done = 0
    for start, end in tokens:
        if start > done and not text[done:start].isspace():
            ends += _virtual_ends(text, done, start)
        if end - start > _LONGEST_TOKEN:
            ends += range(start + _LONGEST_TOKEN, end, _LONGEST_TOKEN)
        ends.append(end)
        if end > done:  # max would be a call for every token
            done = end
    return sorted(ends + _virtual_ends(text, done, len(text)))


def _virtual_ends(text: str, start: int, end: int) -> list[int]:
    ends: list[int] = []
    for match in _WORD.finditer(text, start, end):
        ends += [*range(match.start() + _LONGEST_TOKEN, match.end(), _LONGEST_TOKEN), match.end()]
    return ends


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Lines with anything in them, without the space behind them."""
    for line in _LINE.finditer(text, start, end):
        if kept := line[0].rstrip():
            yield line.start(), line.start() + len(kept)


def _words(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return (word.span() for word in _WORD.finditer(text, start, end))


def _fitting(
    text: str,
    start: int,
    end: int,
    ends: Sequence[int],
    limit: int,
    finer: Sequence[Finer] = (_lines, _words),
) -> Iterator[tuple[int, int, int]]:
    """(start, end, tokens) of the whole if it fits, else of its lines, their words, or groups of tokens."""
    first, last = bisect_right(ends, start), bisect_right(ends, end)
    if last - first <= limit:
        yield start, end, max(1, last - first)
    elif finer:
        for first_char, last_char in finer[0](text, start, end):
            yield from _fitting(text, first_char, last_char, ends, limit, finer[1:])
    else:
        inner = sorted({*ends[first + limit // 4 - 1 : last : limit // 4], end})
        for stop in inner:
            yield start, stop, bisect_right(ends, stop) - bisect_right(ends, start)
            start = stop
