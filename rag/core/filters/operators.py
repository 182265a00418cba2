"""What a condition can ask of a value. A new operator is one class here or elsewhere, and its entry in `OPERATORS`.

An operator is a frozen record of its one `value`. Its constructor raises ValueError, in words that end the sentence
"where: NAME ...", unless the value fits. `holds` is asked of one plain value, never of a list: a list in the metadata is
asked member by member.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from rag.core.filters.nodes import Condition, Filter, Not, Operator
from rag.core.filters.values import Moment, moment_of, name_of, number_of, plain_value, shown


@dataclass(frozen=True)
class Equal(Operator):
    """The same value; 1 and 1.0 are the same, 1, "1" and true are not."""

    name: ClassVar[str] = "eq"
    symbol: ClassVar[str] = "="

    value: Any = field(compare=False)
    value_name: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", plain_value(self.value))
        object.__setattr__(self, "value_name", name_of(self.value))

    def holds(self, value: Any) -> bool:
        return name_of(value) == self.value_name


@dataclass(frozen=True)
class OneOf(Operator):
    """One of several values; of none, nothing passes."""

    name: ClassVar[str] = "in"

    value: tuple[Any, ...] = field(compare=False)
    value_names: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.value, list | tuple | set | frozenset):
            raise ValueError(f"takes a list of values, got {shown(self.value)}")
        object.__setattr__(self, "value", tuple(map(plain_value, self.value)))
        object.__setattr__(self, "value_names", tuple(dict.fromkeys(map(name_of, self.value))))

    def holds(self, value: Any) -> bool:
        return name_of(value) in self.value_names


@dataclass(frozen=True)
class Prefix(Operator):
    """Text that begins so; case counts."""

    name: ClassVar[str] = "prefix"

    value: str

    def __post_init__(self) -> None:
        _require_text(self.value)

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and value.startswith(self.value)


@dataclass(frozen=True)
class Glob(Operator):
    r"""Text that has this form, whole: `*` is any characters, also none and "/"; `?` is any one; `\*` is a star. Case counts.

    Takes time that grows with the text, whatever the pattern: what follows a star is looked for once, from left to right.
    """

    name: ClassVar[str] = "glob"
    symbol: ClassVar[str] = "~"
    longest: ClassVar[int] = 256

    value: str

    def __post_init__(self) -> None:
        _require_text(self.value)
        if len(self.value) > self.longest:
            raise ValueError(f"takes patterns of at most {self.longest} characters, got {len(self.value):,}")

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and _glob(self.value).fullmatch(value) is not None

    @property
    def beginning(self) -> str:
        """What all that passes begins with."""
        plain = re.match(r"(?:\\[*?\\]|[^*?])*", self.value)
        return "" if plain is None else re.sub(r"\\([*?\\])", r"\1", plain[0])


@dataclass(frozen=True)
class Range(Operator):
    """Numbers compare with numbers, and with text that is one; ISO dates with ISO dates. Other values do not pass."""

    bound: int | float | Moment = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        bound = number_of(self.value) if moment_of(self.value) is None else moment_of(self.value)
        if bound is None:
            raise ValueError(f"takes a number or an ISO date such as 2024-03-05, got {shown(self.value)}")
        object.__setattr__(self, "value", plain_value(self.value))
        object.__setattr__(self, "bound", bound)

    compare: ClassVar[staticmethod[[Any, Any], bool]]
    """Whether a value passes, given its number or its count of days or microseconds, and the bound's."""

    def holds(self, value: Any) -> bool:
        if not isinstance(self.bound, Moment):
            number = number_of(value)
            return number is not None and self.compare(number, self.bound)
        moment = moment_of(value)
        if moment is None:
            return False
        if moment.instant is None or self.bound.instant is None:
            return self.compare(moment.day, self.bound.day)
        return self.compare(moment.instant, self.bound.instant)


@dataclass(frozen=True)
class Greater(Range):
    """Greater, or later."""

    name: ClassVar[str] = "gt"
    symbol: ClassVar[str] = ">"
    compare = staticmethod(operator.gt)


@dataclass(frozen=True)
class GreaterOrEqual(Range):
    """Greater or equal, or not earlier."""

    name: ClassVar[str] = "gte"
    symbol: ClassVar[str] = ">="
    compare = staticmethod(operator.ge)


@dataclass(frozen=True)
class Less(Range):
    """Less, or earlier."""

    name: ClassVar[str] = "lt"
    symbol: ClassVar[str] = "<"
    compare = staticmethod(operator.lt)


@dataclass(frozen=True)
class LessOrEqual(Range):
    """Less or equal, or not later."""

    name: ClassVar[str] = "lte"
    symbol: ClassVar[str] = "<="
    compare = staticmethod(operator.le)


@dataclass(frozen=True)
class Exists(Operator):
    """A value that is not null. Its value is true; that there is none is written with not, or as {"exists": false}."""

    name: ClassVar[str] = "exists"

    value: bool = True

    def __post_init__(self) -> None:
        if self.value is not True:
            raise ValueError(f"takes true or false, got {shown(self.value)}")

    @classmethod
    def condition(cls, key: str, value: Any) -> Filter:
        return Not(Condition(key, cls())) if value is False else super().condition(key, value)

    def holds(self, value: Any) -> bool:
        return value is not None


OPERATORS: dict[str, type[Operator]] = {
    each.name: each
    for each in (Equal, OneOf, Prefix, Glob, Greater, GreaterOrEqual, Less, LessOrEqual, Exists)
}  # fmt: skip
"""All operators by name. Add one of your own by `OPERATORS["contains"] = Contains`."""


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    """Every run between stars is an atomic group: once it is found, it is never looked for again further on."""
    runs: list[list[str]] = [[]]
    for token in re.findall(r"\\[*?\\]|.", pattern, re.DOTALL):
        if token == "*":
            runs.append([])
        else:
            runs[-1].append("." if token == "?" else re.escape(token[-1]))
    first, *others = ("".join(run) for run in runs)
    if not others:
        return re.compile(first, re.DOTALL)
    *middle, last = others
    return re.compile(first + "".join(f"(?>.*?{run})" for run in middle) + f".*{last}", re.DOTALL)


def _require_text(value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"takes text, got {shown(value)}")
