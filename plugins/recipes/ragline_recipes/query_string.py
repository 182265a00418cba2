"""A search engine's query as a model writes it: words, "phrases", AND, OR, NOT, parentheses. Pure functions, no index.

What is read is the common part of Lucene's and Elasticsearch's query strings. Names of fields, boosts and fuzziness are left
out. Words that stand side by side are alternatives, as is the default there, and what is negated holds for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r'"[^"]*"|[()]|[^\s()"]+')
_LABEL = re.compile(r"^[A-Za-z_.]+:(?=.)")
_TAIL = re.compile(r"(?:\^[\d.]*|~[\d.]*)$")
_WORD = re.compile(r"[^\W_]+")
_LONGEST = 600
"""Characters of a query that are read; a longer one is no query."""

_DEEPEST = 20
"""Parentheses within parentheses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What a query asks of a text. `words`: of a phrase or a word, in their order. `parts`: of what joins other parts.

    `by`: `phrase` holds where the words stand together; the last may be the beginning of one where `begins`.
    """

    by: str
    words: tuple[str, ...] = ()
    begins: bool = False
    parts: tuple[Matched, ...] = ()

    def holds(self, text: str) -> bool:
        """Whether a text is what is asked for. Case and a last "s" of a word do not matter."""
        return self._holds(_words(text))

    def wanted(self) -> Iterator[str]:
        """The words that are asked for, in order, without those that are negated."""
        if self.by == "phrase":
            yield from self.words
        elif self.by != "not":
            for part in self.parts:
                yield from part.wanted()

    def _holds(self, words: Sequence[str]) -> bool:
        if self.by == "phrase":
            n = len(self.words)
            return any(self._at(words[start : start + n]) for start in range(len(words) - n + 1))
        held = (part._holds(words) for part in self.parts)
        if self.by == "not":
            return not any(held)
        return all(held) if self.by == "and" else any(held)

    def _at(self, words: Sequence[str]) -> bool:
        *first, last = self.words
        ends = words[-1].startswith(last) if self.begins else words[-1] == last
        return ends and list(words[:-1]) == first


def parse_query_string(text: str) -> Matched | None:
    """What a query asks for; None where it asks for no word, or cannot be read: quotes or parentheses without a partner,
    an operator without a side, nothing but what is negated.

    >>> query = parse_query_string('("breast cancer" OR BRCA*) AND screening NOT men')
    >>> query.holds("Screening for breast cancers"), query.holds("BRCA1 screening in men"), query.holds("breast screening")
    (True, False, False)
    >>> list(query.wanted())
    ['breast', 'cancer', 'brca', 'screening']
    """
    if len(text) > _LONGEST or text.count('"') % 2:
        return None
    reader = _Reader(_TOKEN.findall(text))
    try:
        found = reader.either(0)
    except ValueError:
        return None
    return found if reader.done and any(found.wanted()) else None


class _Reader:
    """Tokens, read from the left."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens, self._at = tokens, 0

    @property
    def done(self) -> bool:
        return self._at == len(self._tokens)

    @property
    def _next(self) -> str:
        return "" if self.done else self._tokens[self._at]

    def _take(self) -> str:
        token = self._next
        self._at += 1
        return token

    def either(self, depth: int) -> Matched:
        """Alternatives, of which none that is negated may hold."""
        parts = [self._both(depth)]
        while self._next not in ("", ")"):
            if self._next == "OR":
                self._take()
            parts.append(self._both(depth))
        wanted, unwanted = ([part for part in parts if (part.by == "not") is kind] for kind in (False, True))
        found = _joined("or", wanted) if wanted else None
        return _joined("and", [*([found] if found else []), *unwanted])

    def _both(self, depth: int) -> Matched:
        parts = [self._one(depth)]
        while self._next == "AND":
            self._take()
            parts.append(self._one(depth))
        return _joined("and", parts)

    def _one(self, depth: int) -> Matched:
        token = self._take()
        if token in ("NOT", "!"):
            return Matched(by="not", parts=(self._one(depth),))
        if token == "(":
            if depth == _DEEPEST:
                raise ValueError("too many parentheses")
            inner = self.either(depth + 1)
            if self._take() != ")":
                raise ValueError("a parenthesis is not closed")
            return inner
        if token in ("", ")", "AND", "OR"):
            raise ValueError("an operator without a side")
        return _phrase(token)


def _phrase(token: str) -> Matched:
    """A word or a phrase; what is negated by a sign in front."""
    if token.startswith("-") and len(token) > 1:
        return Matched(by="not", parts=(_phrase(token[1:]),))
    bare = token if token.startswith('"') else _TAIL.sub("", _LABEL.sub("", token.lstrip("+")))
    words = tuple(_words(bare))
    if not words:
        raise ValueError("no word")
    begins = bare.endswith("*")
    return Matched(by="phrase", words=words, begins=begins)


def _joined(by: str, parts: Sequence[Matched]) -> Matched:
    return parts[0] if len(parts) == 1 else Matched(by=by, parts=tuple(parts))


def _words(text: str) -> list[str]:
    words = (found.casefold() for found in _WORD.findall(text))
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words]
