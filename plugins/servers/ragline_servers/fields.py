"""Metadata as fields that any server can search, and filters over them.

Of each value a point holds a word, `3=9f86d081884c7d65`: the number of its key and a hash of the value's name, so that
equality means on a server what it means here, of lists too, and no text of a document or a question is ever part of a
server's expression. Of numbers and dates it holds the least and the greatest: some member is above a bound exactly where
the greatest is. All else (prefix, glob, operators of one's own, numbers that no float holds) is asked here of each distinct
value, as long as they are few, and then of the server by their words.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from rag.errors import SpecError, did_you_mean
from rag.filters import OPERATORS, AllOf, AnyOf, Condition, Filter, Not, Operator, Value, fold, parted
from rag.types import Where
from ragline_servers.store import MOST_WORDS

WORDS, SPANS = "words", "spans"
"""Fields of a point: a word for every value, and the least and greatest of numbers and dates."""

MOST_VALUES = 10_000
"""Distinct values of a key that are kept here, for operators that no server knows."""

_MOST_CHARACTERS = 1_000_000
"""The same, counted in characters of their names."""

_MOST_SPANS = 1_024
"""Least and greatest values of a point, each counted."""


@dataclass(frozen=True, slots=True)
class Key:
    """A metadata key. `values`: names of its distinct values; None where there are too many to be kept.

    `floats`: whether all its numbers are floats to the last bit, and were sent with those that are text.
    """

    number: int
    values: tuple[str, ...] | None
    floats: bool


@dataclass(frozen=True, slots=True)
class Keys:
    """All metadata keys of an index."""

    keys: Mapping[str, Key]

    @classmethod
    def of(cls, metadata: Iterable[Mapping[str, Any]]) -> Self:
        """Keys of all documents. Reads them once."""
        values: dict[str, _Values] = {}
        for each in metadata:
            for key in each:
                known = values.setdefault(key, _Values())
                for value in Value.all_of(each, key):
                    known.add(value)
        return cls({key: each.key(number) for number, (key, each) in enumerate(values.items())})

    @classmethod
    def read(cls, data: bytes) -> Self:
        """What `written` wrote. The fourth column says that texts were sent as the numbers that they are; older tables lack it,
        so their numbers are asked by their values where one of these is such a text."""
        keys: dict[str, Key] = {}
        for number, (name, values, floats, *sent) in enumerate(json.loads(data)):
            asked = bool(sent) or not any(map(_is_number_in_text, values or ()))
            keys[name] = Key(number, None if values is None else tuple(values), floats and asked)
        return cls(keys)

    def written(self) -> bytes:
        """The table as JSON, in order of number."""
        return json.dumps([[name, key.values, key.floats, True] for name, key in self.keys.items()]).encode()

    def fields(self, metadata: Mapping[str, Any], *, doc_id: str) -> dict[str, Any]:
        """What a point holds of its document's metadata.

        Raises:
            SpecError: it has more values than a server takes.
        """
        words: dict[str, None] = {}
        spans: dict[str, float] = {}
        for key in metadata:
            number = self.keys[key].number
            for value in Value.all_of(metadata, key):
                words[_word(number, value.name)] = None
                if value.plain is not None:
                    words[str(number)] = None
                for kind, place in _places(value):
                    low, high = f"{number}{kind}l", f"{number}{kind}h"
                    spans[low] = min(place, spans.get(low, place))
                    spans[high] = max(place, spans.get(high, place))
        if len(words) > MOST_WORDS:
            raise SpecError(
                f"document {doc_id!r} has {len(words):,} values in its metadata, and a server takes {MOST_WORDS:,}. "
                "Leave lists out of its metadata, or keep this index in a directory"
            )
        if len(spans) > _MOST_SPANS:
            raise SpecError(
                f"document {doc_id!r} has numbers or dates under too many keys of its metadata: {len(spans):,} bounds are "
                f"kept of them, and a server takes {_MOST_SPANS:,}. Leave some out, or keep this index in a directory"
            )
        return {WORDS: list(words), SPANS: spans}

    def filter(self, where: Filter | None) -> Filter | None:
        """A filter over metadata as one over fields of points.

        Raises:
            SpecError: no document has one of its keys, or an operator has too many values to look at.
        """
        if where is None:
            return None
        return fold(
            where,
            condition=self._condition,
            all_of=lambda parts: AllOf(tuple(parts)),
            any_of=lambda parts: AnyOf(tuple(parts)),
            negation=Not,
        )

    def _condition(self, node: Condition) -> Filter:
        key = self.keys.get(node.key)
        if key is None:
            raise SpecError(f"no document has metadata '{node.key[:80]}'. {did_you_mean(node.key[:80], self.keys)}")
        operator = node.operator
        match operator.name:
            case "exists":
                return OPERATORS["eq"].condition(WORDS, str(key.number))
            case "eq":
                return _named(key, [Value(operator.value).name])
            case "in":
                return _named(key, dict.fromkeys(Value(value).name for value in operator.value))
            case "gt" | "gte" | "lt" | "lte" if key.floats and _is_float(Value(operator.value)):
                return _range(key.number, operator)
        if key.values is None:
            raise SpecError(
                f"where: an index on a server cannot ask '{operator.name}' of '{node.key[:80]}', which has more than "
                f"{MOST_VALUES:,} values, or long ones. It can ask eq, in, exists, gt, gte, lt and lte of any field"
            )
        return _named(key, [name for name in key.values if operator.holds(Value.named(name).plain)])


class _Values:
    """The distinct values of a key, until they are too many."""

    def __init__(self) -> None:
        self._names: dict[str, None] | None = {}
        self._n_characters = 0
        self._floats = True

    def add(self, value: Value) -> None:
        self._floats = self._floats and _is_float(value)
        if self._names is None or (name := value.name) in self._names:
            return
        self._names[name] = None
        self._n_characters += len(name)
        if len(self._names) > MOST_VALUES or self._n_characters > _MOST_CHARACTERS:
            self._names = None

    def key(self, number: int) -> Key:
        return Key(number, None if self._names is None else tuple(self._names), self._floats)


def _named(key: Key, names: Iterable[str]) -> Filter:
    """Points with one of these values. A list of none is asked for a word that no point has: servers refuse an empty one."""
    return OPERATORS["in"].condition(WORDS, [_word(key.number, name) for name in names] or ["-"])


def _word(number: int, name: str) -> str:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return f"{number}={digest}"


def _places(value: Value) -> Iterable[tuple[str, float]]:
    """Where a value stands in an order: (n, number); for a date (d, day), and (i, instant) or (t, day) without a time."""
    if (number := value.number) is not None:
        if _is_float(value):
            yield "n", float(number)
    elif (moment := value.moment) is not None:
        yield "d", float(moment.day)
        yield ("t", float(moment.day)) if moment.instant is None else ("i", float(moment.instant))


def _range(number: int, operator: Operator) -> Filter:
    bound = Value(operator.value)
    moment = bound.moment
    if moment is None:
        assert bound.number is not None  # the operator takes nothing else
        return _beyond(number, "n", operator, float(bound.number))
    if moment.instant is None:
        return _beyond(number, "d", operator, float(moment.day))
    timed = _beyond(number, "i", operator, float(moment.instant))
    return AnyOf((timed, _beyond(number, "t", operator, float(moment.day))))


def _beyond(number: int, kind: str, operator: Operator, bound: float) -> Filter:
    end = "l" if operator.name in ("lt", "lte") else "h"
    return operator.condition(f"{SPANS}.{number}{kind}{end}", bound)


def _is_number_in_text(name: str) -> bool:
    value = Value.named(name)
    return isinstance(value.plain, str) and value.number is not None


def _is_float(value: Value) -> bool:
    """Whether a value, if it is a number, is a finite float to the last bit."""
    number = value.number
    if number is None:
        return True
    try:
        return math.isfinite(number) and float(number) == number
    except OverflowError:
        return False


def of_metadata(where: Where | None, *, name: str) -> Filter | None:
    """The part of a filter that a server answers: it carries no labels, so that everybody may read all of it.

    Args:
        name: what messages call the index.
    Raises:
        SpecError: the newest versions are asked for, which it cannot tell.
    """
    asked = parted(where)
    if asked.newest:
        raise SpecError(
            f"versions: newest is answered by an index in a directory alone, and '{name}' is on a server. Leave it out, or "
            "keep the index in a directory"
        )
    return asked.where
