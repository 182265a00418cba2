"""Filters as plain data: {"year": {"gte": 2020}, "lang": ["de", "en"], "not": {"draft": true}}.

A mapping's entries must all hold. A value, or a list of values, is equality; an object holds operators by name. `and` and `or`
with a list of objects, and `not` with an object, are connectives; with anything else they are keys like others. A key that would
be taken for a connective is written in double quotes: {"\"not\"": {"gt": 3}}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rag.core.errors import SpecError, did_you_mean
from rag.core.filters.limits import Limits
from rag.core.filters.nodes import AllOf, AnyOf, Condition, Filter, Not, Operator
from rag.core.filters.operators import OPERATORS, Equal, OneOf
from rag.core.filters.values import shown

_CONNECTIVES = ("and", "or", "not")
_LISTS = (list, tuple, set, frozenset)


def read_mapping(data: Mapping[str, Any], limits: Limits, *, place: str = "where", depth: int = 0) -> list[Filter]:
    """What must all hold; empty for an empty mapping.

    Raises:
        SpecError: an unknown operator, a value that its operator does not take, or more than the limits allow.
    """
    limits.require_depth(depth)
    limits.require_conditions(len(data))
    parts: list[Filter] = []
    for key, value in data.items():
        if not isinstance(key, str):
            raise SpecError(f"{place}: a key of a filter is text, got {shown(key)}")
        limits.require_key(key)
        parts += _entry(key, value, limits, f"{place}.{key[:80]}", depth)
    return parts


def _entry(key: str, value: Any, limits: Limits, place: str, depth: int) -> Iterator[Filter]:
    if _is_connective(key, value):
        if key == "not":
            yield Not(_joined(value, limits, place, depth))
            return
        limits.require_conditions(len(value))
        parts = tuple(_joined(each, limits, f"{place}[{i}]", depth) for i, each in enumerate(value))
        yield AllOf(parts) if key == "and" else AnyOf(parts)
        return
    key = _unquoted(key)
    if isinstance(value, Mapping):
        if not value:
            raise SpecError(f"{place}: an object here holds operators, and this one is empty. Known: {_known()}")
        limits.require_conditions(len(value))
        yield from (_asked(key, str(name), each, limits, place) for name, each in value.items())
    else:
        yield _asked(key, OneOf.name if isinstance(value, _LISTS) else Equal.name, value, limits, place)
        if isinstance(value, _LISTS) and any(isinstance(each, Mapping) for each in value):
            raise SpecError(f"{place}: a list holds values, not objects; operators stand in one object, without a list")


def _joined(data: Any, limits: Limits, place: str, depth: int) -> Filter:
    if not isinstance(data, Mapping):
        raise SpecError(f'{place}: takes a filter, such as {{"lang": "de"}}, got {shown(data)}')
    parts = read_mapping(data, limits, place=place, depth=depth + 1)
    if not parts:
        raise SpecError(f"{place}: an empty filter lets everything through; leave it out")
    return all_of(parts)


def _asked(key: str, name: str, value: Any, limits: Limits, place: str) -> Filter:
    if isinstance(value, _LISTS):
        limits.require_values(len(value))
    for each in value if isinstance(value, _LISTS) else (value,):
        if isinstance(each, str):
            limits.require_characters(each)
    return read_condition(key, name, value, place)


def read_condition(key: str, name: str, value: Any, place: str) -> Filter:
    """One condition, by the name of its operator.

    Raises:
        SpecError: there is no such operator, or it does not take this value.
    """
    if name not in OPERATORS:
        raise SpecError(f"{place}: no operator '{name[:80]}'. {did_you_mean(name[:80], OPERATORS)}")
    try:
        return OPERATORS[name].condition(key, value)
    except ValueError as error:
        raise SpecError(f"{place}: {name} {error}") from None


def all_of(parts: Sequence[Filter]) -> Filter:
    """At least one filter, joined by and."""
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def as_mapping(where: Filter) -> dict[str, Any]:
    """A filter as the plain data that it is read from; of a mapping of values, the very same.

    >>> from rag.core.filters import parse_where
    >>> as_mapping(parse_where('lang = "de" and (year >= 2020 or not exists(year))'))
    {'lang': 'de', 'or': [{'year': {'gte': 2020}}, {'not': {'year': {'exists': True}}}]}
    """
    if isinstance(where, Not):
        return {"not": as_mapping(where.part)}
    if isinstance(where, AnyOf):
        return {"or": [as_mapping(part) for part in where.parts]}
    if isinstance(where, AllOf):
        parts = [as_mapping(part) for part in where.parts]
        keys = [key for part in parts for key in part]
        if len(keys) == len(parts) == len(set(keys)):
            return {key: value for part in parts for key, value in part.items()}
        return {"and": parts}
    if isinstance(where, Condition):
        value = _plain(where.operator)
        key = where.key
        return {f'"{key}"' if _is_connective(key, value) or _unquoted(key) != key else key: value}
    raise TypeError(f"no node of a filter: {where!r}")


def _plain(operator: Operator) -> Any:
    value = list(operator.value) if isinstance(operator.value, tuple) else operator.value
    simple = isinstance(operator, OneOf) or (isinstance(operator, Equal) and not isinstance(value, (Mapping, *_LISTS)))
    return value if simple else {operator.name: value}


def _is_connective(key: str, value: Any) -> bool:
    if key == "not":
        return isinstance(value, Mapping)
    return key in _CONNECTIVES and isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value)


def _unquoted(key: str) -> str:
    """The key without one pair of quotes, if what they hold would be a connective or such a key itself."""
    inner = key
    while len(inner) > 2 and inner[0] == inner[-1] == '"':
        inner = inner[1:-1]
    return key[1:-1] if inner in _CONNECTIVES and inner != key else key


def _known() -> str:
    return ", ".join(sorted(OPERATORS))
