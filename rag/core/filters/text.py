"""Filters as text: lang = "de" and (year >= 2020 or not exists(year)) and path ~ "docs/*".

    filter     any of two: filter "or" filter, filter "and" filter; "and" binds closer
               "not" filter, which binds closest · "(" filter ")" · condition
    condition  key operator value · key ["not"] "in" "(" value "," ... ")" · "exists" "(" key ")"
    operator   = != > >= < <= ~, or the name of one in `OPERATORS`
    key        a word, or text in quotes
    value      a number, true, false, null, a word, or text in quotes

A word is anything without blanks, quotes, parentheses, commas and the signs of operators. In quotes, double or single, a
backslash stands before a quote or a backslash that is meant. A key, or a value, that is a word of the grammar is put in quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from rag.core.errors import SpecError, did_you_mean
from rag.core.filters.limits import Limits
from rag.core.filters.nodes import AllOf, AnyOf, Condition, Filter, Not, fold
from rag.core.filters.operators import OPERATORS, Equal, Exists, OneOf
from rag.core.filters.structured import read_condition

Kind = Literal["word", "quoted", "sign", "mark", "end"]

_TOKEN = re.compile(
    r"""\s+
    |(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<mark>[(),])
    |(?P<sign>[=!<>~^]+)
    |(?P<word>[^\s"'(),=!<>~^]+)""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(?P<part>\.\d+)?(?P<power>[eE][+-]?\d+)?", re.ASCII)
_CONSTANTS = {"true": True, "false": False, "null": None}
_GRAMMAR = ("and", "or", "not", "in", "exists")
_SHOWN = 30
"""Characters on either side of an error that are shown."""


@dataclass(frozen=True, slots=True)
class _Token:
    """`text` is as written; `start` is counted from 0."""

    kind: Kind
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The word of the grammar that this is, in lower case; empty for any other token."""
        return self.text.lower() if self.kind == "word" and self.text.lower() in _GRAMMAR else ""


def as_text(where: Filter) -> str:
    """A filter as the text that it is read from."""
    every, some, none = " and ".join, " or ".join, "not ({})".format
    return fold(where, condition=_written, all_of=every, any_of=lambda of: f"({some(of)})", negation=none)


def _written(node: Condition) -> str:
    value, name = node.operator.value, node.operator.symbol or node.operator.name
    if isinstance(node.operator, Exists):
        return f"exists({_quoted(node.key)})"
    told = f"({', '.join(map(_quoted, value))})" if isinstance(node.operator, OneOf) else _quoted(value)
    return f"{_quoted(node.key)} {name} {told}"


def _quoted(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value, default=str)
    plain = value.isidentifier() and value.lower() not in {*_GRAMMAR, *_CONSTANTS}
    return value if plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_text(text: str, limits: Limits) -> Filter:
    """Parse the text form.

    Raises:
        SpecError: with the column, what was expected there and what to write.
    """
    limits.require_characters(text)
    return _Parser(text, limits).whole()


class _Parser:
    """One method for each rule of the grammar. `_next` is the token that is looked at."""

    def __init__(self, text: str, limits: Limits) -> None:
        self._text, self._limits = text, limits
        self._tokens = self._read()
        self._next = next(self._tokens)

    def whole(self) -> Filter:
        read = self._any_of(0)
        if self._next.kind != "end":
            raise self._wrong("expected 'and', 'or' or the end", _quotes(self._next))
        return read

    def _any_of(self, depth: int) -> Filter:
        parts = [self._all_of(depth)]
        while self._take("or"):
            parts.append(self._all_of(depth))
        self._limits.require_conditions(len(parts))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all_of(self, depth: int) -> Filter:
        parts = [self._one(depth)]
        while self._take("and"):
            parts.append(self._one(depth))
        self._limits.require_conditions(len(parts))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _one(self, depth: int) -> Filter:
        self._limits.require_depth(depth)
        if self._take("not"):
            return Not(self._one(depth + 1))
        if self._take("("):
            inner = self._any_of(depth + 1)
            self._require(")")
            return inner
        if self._take("exists"):
            self._require("(")
            key = self._key()
            self._require(")")
            return Exists.condition(key, True)
        return self._condition()

    def _condition(self) -> Filter:
        key, token = self._key(), self._next
        if self._take("not"):
            if self._next.keyword != "in":
                raise self._wrong("expected 'in' after 'not'", "'not' stands before a condition: not lang = de")
            return Not(self._list(key))
        if token.keyword == "in":
            return self._list(key)
        if token.kind == "sign" and token.text == "!=":
            self._step()
            return Not(Equal.condition(key, self._value()))
        name = self._operator(token)
        self._step()
        start = self._next
        value = self._value()
        return self._filter(key, name, value, start)

    def _list(self, key: str) -> Filter:
        start = self._next
        self._step()
        self._require("(")
        values: list[Any] = []
        while not self._take(")"):
            if values:
                self._require(",")
            values.append(self._value())
            self._limits.require_values(len(values))
        return self._filter(key, OneOf.name, values, start)

    def _filter(self, key: str, name: str, value: Any, start: _Token) -> Filter:
        try:
            return read_condition(key, name, value, "")
        except SpecError as error:
            raise self._wrong(str(error).removeprefix(": "), "", start) from None

    def _key(self) -> str:
        token = self._next
        if token.kind == "word" and not token.keyword:
            key = token.text
        elif token.kind == "quoted":
            key = _unquoted(token.text)
        else:
            raise self._wrong("expected a metadata key", _quotes(token))
        self._limits.require_key(key)
        self._step()
        return key

    def _operator(self, token: _Token) -> str:
        signs = {each.symbol: name for name, each in OPERATORS.items() if each.symbol} | {"==": Equal.name}
        if token.kind == "sign" and token.text in signs:
            return signs[token.text]
        if token.kind == "word" and token.text in OPERATORS:
            return token.text
        known = [*(sign for sign in signs if sign != "=="), "!=", *OPERATORS]
        if token.kind in ("sign", "word") and not token.keyword:
            raise self._wrong(f"no operator '{token.text[:80]}'", did_you_mean(token.text[:80], known))
        raise self._wrong("expected an operator", f"Known: {', '.join(known)}.")

    def _value(self) -> Any:
        token = self._next
        if token.kind == "quoted":
            value: Any = _unquoted(token.text)
        elif token.kind == "word" and not token.keyword:
            value = _plain(token.text)
        else:
            raise self._wrong("expected a value", _quotes(token))
        self._step()
        return value

    def _take(self, text: str) -> bool:
        """Step over the token if it is this mark or word of the grammar."""
        token = self._next
        if token.keyword == text or (token.kind == "mark" and token.text == text):
            self._step()
            return True
        return False

    def _require(self, mark: str) -> None:
        if not self._take(mark):
            raise self._wrong(f"expected '{mark}'", _quotes(self._next))

    def _step(self) -> None:
        self._next = next(self._tokens)

    def _read(self) -> Iterator[_Token]:
        start = 0
        while start < len(self._text):
            match = _TOKEN.match(self._text, start)
            if match is None:
                rest = _Token("word", self._text[start:], start)
                raise self._wrong("this quote is never closed", "Put a quote of the same kind behind the text.", rest)
            if match.lastgroup is not None:
                yield _Token(match.lastgroup, match[0], start)  # type: ignore[arg-type]
            start = match.end()
        while True:
            yield _Token("end", "", start)

    def _wrong(self, problem: str, advice: str, token: _Token | None = None) -> SpecError:
        token = token or self._next
        is_expected = problem.startswith("expected")
        got = f", got {_shown(token)}" if is_expected else ""
        first = max(0, token.start - _SHOWN)
        excerpt = self._text[first : token.start + _SHOWN]
        shown = "".join(c if c.isprintable() else "·" for c in excerpt)
        message = f"where, column {token.start + 1}: {problem}{got}. {advice}".rstrip()
        return SpecError(f"{message}\n  {shown}\n  {' ' * (token.start - first)}^")


def _plain(word: str) -> Any:
    """A word as the value that it means: a number or constant as in JSON, else text."""
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    number = _NUMBER.fullmatch(word)
    if number is None or len(word) > 300:
        return word
    return float(word) if number["part"] or number["power"] else int(word)


def _unquoted(text: str) -> str:
    return re.sub(rf"\\([\\{text[0]}])", r"\1", text[1:-1], flags=re.DOTALL)


def _shown(token: _Token) -> str:
    return "the end" if token.kind == "end" else repr(token.text[:_SHOWN])


def _quotes(token: _Token) -> str:
    if token.keyword:
        return f"If '{token.text}' is meant as text, put it in quotes: {json.dumps(token.text)}."
    if token.kind == "word":
        return "Text with blanks or signs in it is put in quotes."
    return ""
