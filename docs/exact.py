"""What one number of a page is of, said in a few words, where no rule finds its line.

million what=build engine=ragline: of/lexical          the last line that says so, at this place
mean fusion split=test: gains/rrf/difference           over all such lines
least misspelt set=cacm|cosqa: clean_near less clean   of lines of either set, one place less another
fusion_cost: ms/added to ms/search                     or in proportion to it
mean fusion chosen=corpus 0.3: choice/*/corpus 0.3     over all that stands where the star is
mean backtracing method=single: rank<=3                how many of them have it at most so high; null is more
mean walks method=walk minus method=words: right       question by question less what the same lines say of the other
mean walks method=walk beside method=shown: right      of questions alone that such a line has too
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import fmean, median
from typing import Any

from docs.figures import at, clean_ones, lines_of
from docs.page_figures import Number
from docs.reached import SCALES
from rag.core.errors import SpecError
from rag.evaluate.significance import mean_interval

_OF_ALL: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "median": median,
    "least": min,
    "most": max,
    "sum": sum,
    "count": len,
    "low": lambda values: mean_interval(values).low,
    "high": lambda values: mean_interval(values).high,
}
_SAID = re.compile(r"(?:(?P<of>\w+) )?(?P<file>\w+)(?P<where>(?: [^\s:=]+=(?:[^:]|:(?! ))+?)*): (?P<place>.+)")
_WHERE = re.compile(r" ([^\s:=]+)=(.*?)(?= [^\s:=]+=|$)")
_AT_MOST = re.compile(r"(.+)<=(\d+)")
_FIRST = re.compile(r"[-+]?\d*\.?\d+")
_TWO = re.compile(r"(.+?) (less|to) (.+)")


def is_said(number: Number, said: str) -> bool:
    """Whether the number is what its words come to, rounded as the page has it. Without a sign its size is meant.

    Raises:
        SpecError: the words are of no known form, or no line, or no number of one, fits them.
    """
    value = value_of(said) if number.text[0] in "+-" else abs(value_of(said))
    edge = number.half * 1.000001
    return any(abs(value * scale - number.value) <= edge for scale in SCALES)


@cache
def value_of(said: str) -> float:
    """What the words come to, as lines have it."""
    found = _SAID.fullmatch(said)
    if found is None or found["of"] not in (None, *_OF_ALL):
        raise SpecError(f"'{said}': not of the form '[{'|'.join(_OF_ALL)}] FILE key=value ...: PLACE [less|to PLACE]'")
    words, _, beside = found["where"].partition(" beside ")
    first, minus, second = words.partition(" minus ")
    where = dict(_WHERE.findall(first))
    lines = _fitting(found["file"], where)

    def by_item(more: str) -> Mapping[tuple[Any, Any], Mapping[str, Any]]:
        return {_item(line): line for line in _fitting(found["file"], where | dict(_WHERE.findall(f" {more}")))}

    if beside:
        known = by_item(beside)
        lines = [line for line in lines if _item(line) in known]
    values = [value for line in lines for value in _values(line, found["place"])]
    if minus:
        others = by_item(second)
        pairs = [(line, others[item]) for item, line in {_item(line): line for line in lines}.items() if item in others]
        values = [
            a - b for pair in pairs for a, b in zip(*(_values(line, found["place"]) for line in pair), strict=True)
        ]
    if not values:
        raise SpecError(f"'{said}': none of {len(lines)} lines that fit has a number there")
    return float(_OF_ALL[found["of"]](values)) if found["of"] else values[-1]


def _fitting(file: str, where: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    """Lines that say so; of these the ones of committed code, where there are any."""
    return clean_ones([line for line in lines_of(file) if all(_is(at(line, key), each) for key, each in where.items())])


def _item(line: Mapping[str, Any]) -> tuple[Any, Any]:
    return line.get("set"), line.get("qid")


def _is(value: Any, said: str) -> bool:
    return value is not None and str(value) in said.split("|")


def _values(line: Any, place: str) -> list[float]:
    if not (values := _there(line, place)) and (two := _TWO.fullmatch(place)):
        firsts, seconds = _values(line, two[1]), _values(line, two[3])
        pairs = zip(firsts, seconds, strict=True) if firsts and seconds else ()
        return [first - second if two[2] == "less" else first / second for first, second in pairs]
    return values


def _there(line: Any, place: str) -> list[float]:
    if most := _AT_MOST.fullmatch(place):
        return [float(any(value <= int(most[2]) for value in _there(line, most[1])))] if most[1] in line else []
    before, star, after = place.partition("/*")
    value = at(line, before) if before else line
    if star:
        return [number for name in sorted(value or ()) for number in _there(value[name], after.removeprefix("/"))]
    if isinstance(value, str) and (said := _FIRST.match(value)):
        return [float(said[0])]
    return [float(value)] if isinstance(value, bool | int | float) else []
