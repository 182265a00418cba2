"""Random metadata and filters, a writer of the text form, and a reading of the structured form that shares no code with ours."""

from __future__ import annotations

import fnmatch
import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from rag.core.filters import AllOf, AnyOf, Condition, Filter, Not, fold
from rag.core.filters.operators import (
    Equal,
    Exists,
    Glob,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    OneOf,
    Prefix,
)

KEYS = ("a", "b", "or", "not")
DAYS = ("2024-03-05", "2024-03-06", "2024-03-05T00:00", "2024-03-05T14:00:00Z", "2024-03-06 01:00+02:00", "2024-02-30")
TEXTS = (
    "",
    "a",
    "A",
    "ab",
    "docs/a",
    "docs/b",
    "1",
    "2",
    "-1.5",
    "1e1",
    "01",
    "1,5",
    "+1",
    "Infinity",
    "1e999",
    "true",
    "null",
    "and",
    'q"u\\o',
)
VALUES = (None, True, False, 0, 1, 2, 1.0, 1.5, -1, 2**53, 2**53 + 1, *TEXTS, *DAYS)

_values = st.sampled_from(VALUES)


def metadata(keys: tuple[str, ...] = KEYS) -> st.SearchStrategy[dict[str, Any]]:
    """Metadata of one document."""
    return st.dictionaries(st.sampled_from(keys), _values | st.lists(_values, max_size=3))


def random_metadata(source: random.Random, keys: tuple[str, ...]) -> dict[str, Any]:
    """The same without hypothesis, so that an index of it may serve all examples of a test."""

    def value() -> Any:
        return source.choice(VALUES)

    return {key: [value(), value()] if source.random() < 0.3 else value() for key in keys if source.random() < 0.8}


def filters(keys: tuple[str, ...] = KEYS) -> st.SearchStrategy[Filter]:
    """Trees as `parse_where` makes them: no connective inside one of its own kind, none of a single part."""
    key = st.sampled_from(keys)
    numbers = st.sampled_from([value for value in VALUES if isinstance(value, int | float) and value is not True])
    bounds = numbers.filter(lambda value: value is not False) | st.sampled_from(DAYS[:-1])
    texts = st.sampled_from(TEXTS)
    operators = st.one_of(
        st.builds(Equal, _values),
        st.builds(OneOf, st.lists(_values, max_size=4)),
        st.builds(Prefix, texts),
        st.builds(Glob, st.sampled_from(["*", "?", "a*", "docs/?", "*o*", "*/*", "A", "", "2024-??-0*"])),
        *(st.builds(each, bounds) for each in (Greater, GreaterOrEqual, Less, LessOrEqual)),
        st.builds(Exists),
    )

    def wider(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
        def of(kind: type[AllOf] | type[AnyOf]) -> st.SearchStrategy[Filter]:
            parts = st.lists(inner.filter(lambda part: not isinstance(part, kind)), min_size=2, max_size=3)
            return parts.map(lambda several: kind(tuple(several)))

        return st.one_of(st.builds(Not, inner), of(AllOf), of(AnyOf))

    return st.recursive(st.builds(Condition, key, operators), wider, max_leaves=6)


def written(tree: Filter) -> str:
    """The text form of a filter."""

    def literal(value: Any) -> str:
        if isinstance(value, str):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return json.dumps(value)

    def condition(node: Condition) -> str:
        name, value, key = node.operator.name, node.operator.value, literal(node.key)
        if name == "exists":
            return f"exists({key})"
        if name == "in":
            return f"{key} in ({', '.join(map(literal, value))})"
        return f"{key} {node.operator.symbol or name} {literal(value)}"

    return fold(
        tree,
        condition=condition,
        all_of=lambda parts: f"({' and '.join(parts)})",
        any_of=lambda parts: f"({' or '.join(parts)})",
        negation=lambda part: f"not {part}",
    )


Tree = tuple[Any, ...]


def read(data: Mapping[str, Any]) -> Tree:
    """The structured form as ("and", [...]), ("or", [...]), ("not", tree) or (key, operator, value)."""
    parts: list[Tree] = []
    for key, value in data.items():
        if key == "not" and isinstance(value, dict):
            parts.append(("not", read(value)))
        elif key in ("and", "or") and isinstance(value, list) and any(isinstance(each, dict) for each in value):
            parts.append((key, [read(each) for each in value]))
        else:
            name = key.strip('"')
            asked = value if isinstance(value, dict) else {"in" if isinstance(value, list) else "eq": value}
            parts += [(name, operator, bound) for operator, bound in asked.items()]
    return parts[0] if len(parts) == 1 else ("and", parts)


def passes(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether a document passes a filter in its structured form."""
    return _holds(read(data), metadata)


def _holds(tree: Tree, metadata: Mapping[str, Any]) -> bool:
    if len(tree) == 2:
        name, inner = tree
        if name == "not":
            return not _holds(inner, metadata)
        return {"and": all, "or": any}[name](_holds(part, metadata) for part in inner)
    key, operator, bound = tree
    value = metadata.get(key, [])
    return any(_asks(operator, bound, one) for one in (value if isinstance(value, list) else [value]))


def _asks(operator: str, bound: Any, value: Any) -> bool:
    if operator == "exists":
        return value is not None
    if operator == "eq":
        return isinstance(value, bool) == isinstance(bound, bool) and value == bound
    if operator == "in":
        return any(_asks("eq", each, value) for each in bound)
    if operator == "prefix":
        return isinstance(value, str) and value[: len(bound)] == bound
    if operator == "glob":
        return isinstance(value, str) and fnmatch.fnmatchcase(value, bound)
    low, high = _comparable(value, bound)
    if low is None or high is None:
        return False
    return {"gt": low > high, "gte": low >= high, "lt": low < high, "lte": low <= high}[operator]


def _comparable(value: Any, bound: Any) -> tuple[Any, Any]:
    if isinstance(value, str) and isinstance(bound, str):
        if min(len(value), len(bound)) <= 10:
            return _day(value), _day(bound)
        return _time(value), _time(bound)
    if isinstance(value, str):
        value = {"1": 1, "2": 2, "-1.5": -1.5, "1e1": 10}.get(value)  # what JSON reads as a number
    if any(isinstance(each, bool | str) or each is None for each in (value, bound)):
        return None, None
    return value, bound


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _day(text: str) -> str | None:
    time = _time(text)
    return None if time is None else time.strftime("%Y-%m-%d")
