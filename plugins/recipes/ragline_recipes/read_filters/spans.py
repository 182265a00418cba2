"""Spans of time as filters: a year, a month or a day, and bounds on a field of dates or of years."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass

from rag.filters import OPERATORS, Filter, both

_WRITTEN = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1500, 2199


@dataclass(frozen=True, slots=True)
class Span:
    """Its first and its last day in ISO 8601. `end`: the word behind it."""

    first: str
    last: str
    end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Days that a time lies after, not before, not after, and before; empty where there is no such bound."""

    after: str = ""
    since: str = ""
    until: str = ""
    before: str = ""


def span(year: int, month: int, day: int, end: int = 0) -> Span:
    """A year; a month of it, and a day of that, where they are not 0. A day that its month has not is none."""
    first, last = (month, month) if month else (1, 12)
    days = monthrange(year, last)[1]
    day = day if month and day <= days else 0
    return Span(f"{year:04}-{first:02}-{day or 1:02}", f"{year:04}-{last:02}-{day or days:02}", end)


def written_span(text: str) -> Span | None:
    """What 2019, 2019-03 or 2019-03-05 says; None for anything else.

    >>> written_span("2020-02")
    Span(first='2020-02-01', last='2020-02-29', end=0)
    """
    form = _WRITTEN.fullmatch(text)
    year, month, day = (int(part or 0) for part in form.groups()) if form else (0, 0, 0)
    if not _FIRST_YEAR <= year <= _LAST_YEAR or month > 12 or (form and form[2] and not month):
        return None
    return span(year, month, day)


def bounded(field: str, bounds: Bounds, of_days: bool) -> Filter:
    """The filter that holds a field between bounds, one of them at least. `of_days`: whether it has dates, and not years.

    A year of which a bound lets a part through passes whole.
    """
    where: Filter | None = None
    for operator, bound in (("gt", bounds.after), ("gte", bounds.since), ("lte", bounds.until), ("lt", bounds.before)):
        if not bound:
            continue
        value: str | int = bound
        if not of_days:
            value = int(bound[:4])
            whole = bound[4:] == ("-12-31" if operator == "gt" else "-01-01")
            operator = operator if whole or len(operator) == 3 else f"{operator}e"
        where = both(where, OPERATORS[operator].condition(field, value))
    if where is None:
        raise ValueError("a span of time has a bound at least")
    return where


def year_of(word: str) -> int:
    """The year that four digits say; 0 for anything else."""
    return int(word) if re.fullmatch(r"\d{4}", word, re.ASCII) and _FIRST_YEAR <= int(word) <= _LAST_YEAR else 0


def day_of(word: str) -> int:
    """The day of a month: 5, 05, 5th; 0 for anything else."""
    form = re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)?", word, re.ASCII)
    return int(form[1]) if form and 1 <= int(form[1]) <= 31 else 0
