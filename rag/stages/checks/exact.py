"""What an answer must copy exactly: numbers, units, dates, names, and which of them no passage has. Pure functions.

A number is compared without what stands between its digits, so "4,011" is "4.011" and "4 011". One digit alone is left out,
for passages spell such numbers. A unit is a symbol behind a number, or a currency before it: a number that passages have,
though never with this one, is not copied. A day with the name of a month is compared as a day
(`rag.stages.checks.dates`). A name is a word with a capital that does not begin a sentence; a passage has it where one of its
words begins alike. In German, and where most words have capitals, these are no sign of a name. A word that is joined to a
number, as in "31.mars", is a name too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import OSA

from rag.stages.checks.dates import day_of, days, spelled

_NUMBER = re.compile(r"\d+(?:[.,:/'’\u00a0\u202f -]\d+)*")
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_JOINED = re.compile(r"(?<!\w)\d+[.,:/](?P<word>[^\W\d_]{3,})")
_UNITS = """
    % ‰ °C °F kg g mg µg μg lb oz km cm mm µm μm nm ft ml Hz kHz MHz GHz kW MW V hPa kPa kB KB MB GB TB ms min mph km/h dB
"""
_MEASURE = re.compile(
    rf"(?P<before>[€$£¥])?\s?(?P<number>{_NUMBER.pattern})"
    rf"(?:\s?(?P<behind>{'|'.join(sorted(map(re.escape, _UNITS.split()), key=len, reverse=True))}|[€$£¥])(?![^\W_]))?"
)
_OPENERS = "\"'“‘„«([*_ \t"
_ENDS = ".!?:…。\n"
_LEAST_LETTERS = 3
_ENDING = 3
"""Letters that endings change: "Berlin's", "Athenians"."""
_MOST_CAPITALS = 0.6
_GERMAN_WORDS = """
    der das und ist nicht ein eine einer mit dem den des im auf für von zum zur wird wurde sich
"""
_GERMAN = frozenset(_GERMAN_WORDS.split())
_MOST_GERMAN = 0.05
"""Share of German words from which on a text is German, where nouns have capitals."""
_ONE_LETTER_OF = 6
"""Letters that a name has of which one may be wrong."""


Kind = Literal["number", "measure", "day", "name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A place of a text that must be copied: what it says, its first character, and of which kind it is."""

    said: str
    start: int
    kind: Kind


class Originals:
    """What texts have to be copied from: their numbers, units, days and names."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._text = "\n".join(sources)
        self._folded = self._text.casefold()
        self._numbers = _values(self._text)
        self._days = days(self._text)
        self._beginnings = {word[0][:_LEAST_LETTERS] for word in _WORD.finditer(self._folded)}
        self._capitals_are_names = _capitals_are_names(self._text)
        self._units: dict[str, set[str]] = {}
        for measure in _MEASURE.finditer(self._text):
            if unit := _unit(measure):
                self._units.setdefault(_value(measure["number"]), set()).add(unit)

    def missing(self, text: str) -> list[Copy]:
        """The places of a text that no source has, in their order; of two at one place, the longer."""
        found = [*self._missing_numbers(text), *self._missing_days(text), *self._missing_names(text)]
        found.sort(key=lambda copy: (copy.start, -len(copy.said)))
        places: list[Copy] = []
        for copy in found:
            if not places or copy.start >= places[-1].start + len(places[-1].said):
                places.append(copy)
        return places

    def like(self, copy: Copy) -> list[str]:
        """What the sources have of its kind, as they spell it, in order: all numbers, measures or days, and near names.

        A name is near that differs in accents alone, or in one letter of six.
        """
        if copy.kind == "day":
            return list(dict.fromkeys(found[0] for found in spelled(self._text)))
        if copy.kind == "measure":
            measures = [measure[0].strip() for measure in _MEASURE.finditer(self._text) if _unit(measure)]
            return list(dict.fromkeys(measures))
        if copy.kind == "number":
            return list(dict.fromkeys(number[0] for number in _NUMBER.finditer(self._text)))
        names = dict.fromkeys(word[0] for word in _WORD.finditer(self._text))
        return [name for name in names if _near(name, copy.said)]

    def _missing_numbers(self, text: str) -> Iterator[Copy]:
        for measure in _MEASURE.finditer(text):
            number, unit = measure["number"], _unit(measure)
            if not _has_number(number, self._numbers):
                yield Copy(said=number, start=measure.start("number"), kind="number")
            elif unit and unit not in self._units.get(_value(number), {unit}):
                said = measure[0].strip()
                yield Copy(said=said, start=measure.start() + measure[0].index(said), kind="measure")

    def _missing_days(self, text: str) -> Iterator[Copy]:
        for found in spelled(text) if self._days else ():
            if day_of(found) not in self._days:
                yield Copy(said=found[0], start=found.start(), kind="day")

    def _missing_names(self, text: str) -> Iterator[Copy]:
        dated = [found.span() for found in spelled(text)] if self._days else []
        names = [(word[0], word) for word in _inner_words(text) if self._capitals_are_names and _is_name(word[0])]
        names = [(name, at) for name, at in names if not any(start <= at.start() < end for start, end in dated)]
        joined = [(found["word"], found) for found in _JOINED.finditer(text)]
        for name, found in (*names, *joined):
            stem = name.casefold()[: max(_LEAST_LETTERS, len(name) - _ENDING)]
            if stem[:_LEAST_LETTERS] not in self._beginnings or stem not in self._folded:
                yield Copy(said=found[0], start=found.start(), kind="name")


def missing_in(text: str, sources: Sequence[str]) -> list[str]:
    """The numbers, numbers with units, days and names of a text that none of the sources has, in order.

    >>> missing_in("It took Ada 4,011 days and 3 hours.", ["In 4011 days it was done."])
    ['Ada']
    >>> missing_in("On 3 May it weighed 12 kg.", ["On May 4th it was 12 lb, and on June 3rd more."])
    ['3 May', '12 kg']
    """
    found = Originals(sources).missing(text)
    shouted = not _capitals_are_names(text)
    return list(
        dict.fromkeys(copy.said for copy in found if not (shouted and copy.kind == "name" and copy.said[0].isupper()))
    )


def names_in(text: str) -> list[str]:
    """The names of a text, in order, also right behind a colon; none where capitals are no sign of a name.

    >>> names_in("How many orders came from Berlin: Mitte?")
    ['Berlin', 'Mitte']
    """
    words = _inner_words(text.replace(":", ","))
    return [word[0] for word in words if _is_name(word[0])] if _capitals_are_names(text) else []


def _unit(measure: re.Match[str]) -> str:
    return measure["behind"] or measure["before"] or ""


def _values(text: str) -> set[str]:
    """The numbers of a text, whole and in their parts."""
    return {_value(found[0]) for pattern in (_NUMBER, _DIGITS) for found in pattern.finditer(text)}


def _has_number(number: str, known: set[str]) -> bool:
    parts = _DIGITS.findall(number)
    return len("".join(parts)) == 1 or _value(number) in known or all(_value(part) in known for part in parts)


def _value(number: str) -> str:
    return "".join(_DIGITS.findall(number)).lstrip("0") or "0"


def _is_name(word: str) -> bool:
    return word[0].isupper() and len(word) >= _LEAST_LETTERS


def _near(one: str, other: str) -> bool:
    if _plain(one) == _plain(other):
        return True
    return min(len(one), len(other)) >= _ONE_LETTER_OF and OSA.distance(_plain(one), _plain(other)) == 1


def _plain(word: str) -> str:
    """A word without accents, in small letters."""
    return "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c))


def _capitals_are_names(text: str) -> bool:
    words = [word[0] for word in _inner_words(text)]
    german = sum(word in _GERMAN for word in words)
    return german <= _MOST_GERMAN * len(words) and sum(word[0].isupper() for word in words) <= _MOST_CAPITALS * len(
        words
    )


def _inner_words(text: str) -> Iterator[re.Match[str]]:
    """Words that do not begin a sentence."""
    return (word for word in _WORD.finditer(text) if not _begins_sentence(text, word.start()))


def _begins_sentence(text: str, start: int) -> bool:
    before = text[max(0, start - 8) : start].rstrip(_OPENERS)
    return not before or before[-1] in _ENDS
