"""The sentence of a text that a query matches, with its words marked. Plain text: marks are spans beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

LONGEST = 320
"""Characters of a snippet."""

_LOOKED_AT = 10_000
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
"""Letters of scripts without spaces, each of which stands for a word here, whatever an index cuts."""
_LETTER = re.compile(f"[{_UNSPACED}]")
_LETTERS = re.compile(f"[{_UNSPACED}]{{3,16}}")
"""A term that such letters make, longer than two."""
_MOST_LENGTHS = 8
"""Lengths of such terms that are looked for around a letter; of a question of more, the shortest."""
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")

Terms = Callable[[str], Sequence[str]]
"""Text -> terms, repetitions kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A piece of a text, on one line. `marks`: spans of `text` whose words are the query's, in order."""

    text: str
    marks: tuple[tuple[int, int], ...] = ()

    def marked(self, left: str, right: str) -> str:
        """The text with something on either side of every mark."""
        parts, done = list[str](), 0
        for start, end in self.marks:
            parts += [self.text[done:start], left, self.text[start:end], right]
            done = end
        return "".join([*parts, self.text[done:]])


def words(text: str) -> list[str]:
    """Lower-cased words: the terms where no index says what they are."""
    return [word.lower() for word in _WORD.findall(text)]


def snippet(text: str, spans: Iterable[tuple[int, int]], query: Iterable[str], terms: Terms = words) -> Snippet:
    """From the sentence that has most of the query's terms on, the first of several; the beginning where none has any.

    Args:
        spans: of the sentences, in order. Those beyond the first 10,000 characters of the text are not looked at.
        query: the terms of the query, analysed as `terms` analyses.
    """
    wanted, of_word = frozenset(query), dict[str, frozenset[str]]()
    lengths = sorted({len(term) for term in wanted if _LETTERS.fullmatch(term)})[:_MOST_LENGTHS]

    def hit(word: str) -> frozenset[str]:
        if word not in of_word:
            of_word[word] = wanted.intersection(terms(word))
        return of_word[word]

    def hits(within: str, word: re.Match[str]) -> frozenset[str]:
        """The query's terms that a word has a part in: a letter also those of it with the letters around it."""
        found = hit(word[0])
        if _LETTER.fullmatch(word[0]):
            for pair in (within[word.start() - 1 : word.end()], within[word.start() : word.end() + 1]):
                if len(pair) == 2 and _LETTER.match(pair[0]) and _LETTER.match(pair[1]):
                    found |= hit(pair) - hit(pair[0]) - hit(pair[1])
            for length in lengths:
                first = max(0, word.start() - length + 1)
                around = (within[start : start + length] for start in range(first, word.end()))
                found |= wanted.intersection(around)
        return found

    best, most = (0, 0), 0
    for start, end in spans:
        if start >= _LOOKED_AT:
            break
        found = _WORD.finditer(text, start, min(end, _LOOKED_AT))
        match = {term for word in found for term in hits(text, word)}
        if len(match) > most:
            best, most = (start, end), len(match)
    start = _beginning(text, best, hits) if most else 0
    shown = " ".join(text[start : start + 4 * LONGEST].split())
    cut = shown if len(shown) <= LONGEST else shown[: shown.rfind(" ", 1, LONGEST - 1)].rstrip()[: LONGEST - 2] + " …"
    shown = cut if start == 0 else f"… {cut}"
    return Snippet(text=shown, marks=_joined(each.span() for each in _WORD.finditer(shown) if hits(shown, each)))


def _joined(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same spans, those that touch as one: letters of one word."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            start = joined.pop()[0]
        joined.append((start, end))
    return tuple(joined)


def _beginning(text: str, sentence: tuple[int, int], hits: Callable[[str, re.Match[str]], frozenset[str]]) -> int:
    """Where the snippet of a sentence begins: with it, or a few words before its first match where it is very long."""
    start, end = sentence
    first = next(each.start() for each in _WORD.finditer(text, start, end) if hits(text, each))
    if first - start <= LONGEST // 2:
        return start
    space = text.rfind(" ", start, first - LONGEST // 4)
    return space + 1 if space > start else first
