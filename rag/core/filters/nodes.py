"""The tree of a filter: conditions on one key each, joined by all of, any of and not. And what an operator is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")


class Filter:
    """Base of the nodes. Filters are frozen, hashable and equal when they are written alike."""

    __slots__ = ()


@dataclass(frozen=True)
class Operator(ABC):
    """What a condition asks of a value: a frozen record of one `value` of its own, which the constructor checks.

    `name` is what it is called in all forms, `symbol` a shorter sign in the text form, if it has one.
    """

    name: ClassVar[str]
    symbol: ClassVar[str] = ""

    value: Any

    @classmethod
    def condition(cls, key: str, value: Any) -> Filter:
        """What this operator, written with this value, asks of a key."""
        return Condition(key, cls(value))

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether one value of a document's metadata passes."""


@dataclass(frozen=True, slots=True)
class Condition(Filter):
    """Passes documents that have a value under the key for which the operator holds; of a list, some member."""

    key: str
    operator: Operator


@dataclass(frozen=True, slots=True)
class AllOf(Filter):
    """Passes what all parts pass; there is at least one."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf(Filter):
    """Passes what some part passes; there is at least one."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """Passes exactly what its part does not."""

    part: Filter


def fold(
    where: Filter,
    *,
    condition: Callable[[Condition], T],
    all_of: Callable[[Iterable[T]], T],
    any_of: Callable[[Iterable[T]], T],
    negation: Callable[[T], T],
) -> T:
    """A filter turned into something else, from its conditions up: a mask, a truth value, another language's text.

    `all_of` and `any_of` get their parts one by one, as they ask for them, and may stop early.
    """

    def turned(node: Filter) -> T:
        if isinstance(node, Condition):
            return condition(node)
        if isinstance(node, Not):
            return negation(turned(node.part))
        if isinstance(node, AllOf):
            return all_of(turned(part) for part in node.parts)
        if isinstance(node, AnyOf):
            return any_of(turned(part) for part in node.parts)
        raise TypeError(f"no node of a filter: {node!r}")

    return turned(where)


def conditions(where: Filter) -> Iterator[Condition]:
    """All conditions, from left to right."""
    if isinstance(where, Condition):
        yield where
    elif isinstance(where, Not):
        yield from conditions(where.part)
    elif isinstance(where, AllOf | AnyOf):
        for part in where.parts:
            yield from conditions(part)
