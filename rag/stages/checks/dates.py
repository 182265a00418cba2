"""Days of a text, however they are spelled: 31. März, March 31st, 31/03/2019 and 2019-03-31 are one. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator

Day = tuple[int, int]
"""A day of the month, from 1, and a month, from 1."""

_NAMES = """
    january januar jänner janvier enero gennaio januari styczeń stycznia janeiro jan
    february februar février febrero febbraio februari luty lutego fevereiro feb
    march märz mars marzo maart marzec marca março mar mrz
    april avril abril aprile kwiecień kwietnia apr
    may mai mayo maggio mei maj maja maio
    june juni juin junio giugno czerwiec czerwca junho jun
    july juli juillet julio luglio lipiec lipca julho jul
    august août agosto augustus sierpień sierpnia aug
    september septembre septiembre settembre wrzesień września setembro sep sept
    october oktober octobre octubre ottobre październik października outubro oct okt
    november novembre noviembre listopad listopada novembro nov
    december dezember décembre diciembre dicembre grudzień grudnia dezembro dec dez
"""
"""A line for each month: English, German, French, Spanish, Italian, Dutch, Polish, Portuguese, and short ones."""
_MONTH = {
    name: month
    for month, line in enumerate(filter(None, map(str.split, _NAMES.splitlines())), start=1)
    for name in line
}
_NAME = rf"(?P<name>(?i:{'|'.join(sorted(_MONTH, key=len, reverse=True))}))(?!\w)"
_BEHIND = r"(?:st|nd|rd|th|er|º|\.)?"
_SPELLED = (
    re.compile(rf"(?<![\d.,])(?P<day>\d{{1,2}}){_BEHIND}\s{{0,2}}(?:(?:of|de|di)\s)?{_NAME}"),
    re.compile(rf"(?<!\w)(?=[A-Z]){_NAME}\.?\s{{0,2}}(?P<day>\d{{1,2}})(?!\d|[.,:]\d)"),
)
_YEAR_FIRST = re.compile(r"(?<!\d)\d{4}[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)")
_YEAR_LAST = re.compile(r"(?<!\d)(?P<one>\d{1,2})[-/.]\s?(?P<two>\d{1,2})[-/.]\s?(?:\d{4}|\d{2})?(?!\d)")


def spelled(text: str) -> Iterator[re.Match[str]]:
    """The places of days whose month has its name.

    >>> [(found[0], day_of(found)) for found in spelled("From March 3rd to 31. März, and 5 May.")]
    [('31. März', (31, 3)), ('5 May', (5, 5)), ('March 3', (3, 3))]
    """
    for pattern in _SPELLED:
        for found in pattern.finditer(text):
            if is_month(found["name"]):  # a letter such as the dotless i is alike and not the same
                yield found


def is_month(word: str) -> bool:
    """Whether a word is the name of a month."""
    return word.casefold() in _MONTH


def day_of(found: re.Match[str]) -> Day:
    """Which day a place is of."""
    return int(found["day"]), _MONTH[found["name"].casefold()]


def days(text: str) -> set[Day]:
    """All days of a text. One such as 3/4/2019 is both that it can be."""
    known = {day_of(found) for found in spelled(text)}
    known |= {(int(found["day"]), int(found["month"])) for found in _YEAR_FIRST.finditer(text)}
    for found in _YEAR_LAST.finditer(text):
        one, two = int(found["one"]), int(found["two"])
        known |= {(one, two), (two, one)}
    return known
