"""What metadata values are to a filter: when two are equal, and which of them have an order."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

_DATE = re.compile(
    r"\d{4}([-/])\d\d\1\d\d(?P<time>[T ]\d\d:\d\d(:\d\d([.,]\d{1,6})?)?(?P<zone>Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_LONGEST_NUMBER = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """An ISO date, or a date with a time. `day` is the day as written; `instant` counts microseconds, None for a day alone.

    A time without a zone is taken as UTC. Two times compare by instant; where one of two is a day alone, their days compare.
    """

    day: int
    instant: int | None


@dataclass(frozen=True, slots=True)
class Value:
    """A metadata value as filters compare it, for whoever keeps metadata in a form of their own.

    >>> [(each.name, each.number) for each in Value.all_of({"n": [1.0, "x"]}, "n")]
    [('1', 1.0), ('"x', None)]
    """

    plain: Any

    @classmethod
    def named(cls, name: str) -> Value:
        """The value that has this name."""
        return cls(value_named(name))

    @classmethod
    def all_of(cls, metadata: Mapping[str, Any], key: str) -> list[Value]:
        """Those that a document has under a key."""
        return [cls(value) for value in members(metadata, key)]

    @property
    def name(self) -> str:
        """Equal values, and only they, have equal names."""
        return name_of(self.plain)

    @property
    def number(self) -> int | float | None:
        """The value if it is a number, or text that is one."""
        return number_of(self.plain)

    @property
    def moment(self) -> Moment | None:
        """The value if it is text that is an ISO date."""
        return moment_of(self.plain)


def plain_value(value: Any) -> Any:
    """Dates as their ISO text, as JSON would hold them; all else as it is."""
    return value.isoformat() if isinstance(value, date) else value


def name_of(value: Any) -> str:
    """Equal values, and only they, have equal names: 1 and 1.0 are equal; 1, "1" and true are not.

    >>> name_of(1.0), name_of("1"), name_of(True)
    ('1', '"1', 'true')
    """
    if isinstance(value, str):
        return f'"{value}'
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)


def value_named(name: str) -> Any:
    """The value that has this name."""
    return name[1:] if name.startswith('"') else json.loads(name)


def number_of(value: Any) -> int | float | None:
    """The value if it is a number, or text that is one as JSON writes it: cells of tables are text. True and NaN are none.

    >>> number_of(2.5), number_of("-250"), number_of("007"), number_of("1,250"), number_of(True)
    (2.5, -250, None, None, None)
    """
    if isinstance(value, str):
        return _number_in(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return value


def _number_in(text: str) -> int | float | None:
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    number: int | float = json.loads(text)
    return number if math.isfinite(number) else None


def moment_of(value: Any) -> Moment | None:
    """The value if it is text that is an ISO date: 2024-03-05, 2024-03-05T14:00, 2024-03-05 14:00:30.5+01:00; 2024/03/05 too.

    >>> moment_of("2024-03-05") == moment_of("2024/03/05"), moment_of("2024/03-05"), moment_of("5 March 2024")
    (True, None, None)
    """
    value = plain_value(value)
    if not isinstance(value, str) or (form := _DATE.fullmatch(value)) is None:
        return None
    value = value.replace("/", "-")
    try:
        if form["time"] is None:
            return Moment(date.fromisoformat(value).toordinal(), None)
        time = datetime.fromisoformat(value.replace(",", "."))
        instant = time if form["zone"] else time.replace(tzinfo=UTC)
        return Moment(time.toordinal(), (instant - _EPOCH) // _MICROSECOND)
    except ValueError:  # such as the 30th of February
        return None


def members(metadata: Mapping[str, Any], key: str) -> tuple[Any, ...]:
    """The values that a document has under a key: those of a list, or the one."""
    if key not in metadata:
        return ()
    value = metadata[key]
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def shown(value: Any) -> str:
    """A value in a message: short, and cheap to write whatever it is."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    return repr(value[:80] if isinstance(value, str) else value)[:84]
