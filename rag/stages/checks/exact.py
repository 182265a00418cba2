"""What an answer must copy exactly: numbers, units, dates, names, and which of them no passage has. Pure functions.

A number is compared without what stands between its digits, so "4,011" is "4.011" and "4 011". One digit alone is left out,
for passages spell such numbers. A unit is a symbol behind a number, or a currency before it: a number that passages have,
though never with this one, is not copied. A day with the name of a month is compared as a day
(`rag.stages.checks.dates`). A name is a word with a capital that does not begin a sentence; a passage has it where one of its
words begins alike. Where a third of all words have capitals, as in German, capitals are no sign of a name. A word that is
joined to a number, as in "31.mars", is a name too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag.stages.checks.dates import days, spelled_days

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
_MOST_CAPITALS = 1 / 3


def missing_in(text: str, sources: Sequence[str]) -> list[str]:
    """The numbers, numbers with units, days and names of a text that none of the sources has, in order of these kinds.

    >>> missing_in("It took Ada 4,011 days and 3 hours.", ["In 4011 days it was done."])
    ['Ada']
    >>> missing_in("On 3 May it weighed 12 kg.", ["On May 4th it was 12 lb, and on June 3rd more."])
    ['12 kg', '3 May']
    """
    whole = "\n".join(sources)
    numbers, folded = _values(whole), whole.casefold()
    missing = [found[0] for found in _NUMBER.finditer(text) if not _has_number(found[0], numbers)]
    units = _units(whole) if any(unit for _, _, unit in _measures(text)) else {}
    missing += [said for said, value, unit in _measures(text) if unit and unit not in units.get(value, {unit})]
    known_days = days(whole)
    spelled = dict(spelled_days(text))
    missing += [said for said, day in spelled.items() if known_days and day not in known_days]
    words = {word[0][:_LEAST_LETTERS] for word in _WORD.finditer(folded)}
    names = _names(text) if _capitals_are_names(f"{text}\n{whole}") else []
    names = [name for name in names if not (known_days and any(name in said for said in spelled))]  # a month of a day
    for said, name in [
        *((name, name) for name in names),
        *((each[0], each["word"]) for each in _JOINED.finditer(text)),
    ]:
        stem = name.casefold()[: max(_LEAST_LETTERS, len(name) - _ENDING)]
        if stem[:_LEAST_LETTERS] not in words or stem not in folded:
            missing.append(said)
    return list(dict.fromkeys(missing))


def _measures(text: str) -> Iterator[tuple[str, str, str]]:
    """The numbers of a text with their units: as they are spelled, the value, and the unit or nothing."""
    for found in _MEASURE.finditer(text):
        yield found[0].strip(), _value(found["number"]), found["behind"] or found["before"] or ""


def _units(text: str) -> dict[str, set[str]]:
    """Value -> the units that it has in a text, where it has one at all."""
    units: dict[str, set[str]] = {}
    for _, value, unit in _measures(text):
        if unit:
            units.setdefault(value, set()).add(unit)
    return units


def _values(text: str) -> set[str]:
    """The numbers of a text, whole and in their parts."""
    return {_value(found[0]) for pattern in (_NUMBER, _DIGITS) for found in pattern.finditer(text)}


def _has_number(number: str, known: set[str]) -> bool:
    parts = _DIGITS.findall(number)
    return len("".join(parts)) == 1 or _value(number) in known or all(_value(part) in known for part in parts)


def _value(number: str) -> str:
    return "".join(_DIGITS.findall(number)).lstrip("0") or "0"


def _names(text: str) -> list[str]:
    return [word for word in _inner_words(text) if word[0].isupper() and len(word) >= _LEAST_LETTERS]


def _capitals_are_names(text: str) -> bool:
    words = list(_inner_words(text))
    return sum(word[0].isupper() for word in words) <= _MOST_CAPITALS * len(words)


def _inner_words(text: str) -> Iterator[str]:
    """Words that do not begin a sentence."""
    return (word[0] for word in _WORD.finditer(text) if not _begins_sentence(text, word.start()))


def _begins_sentence(text: str, start: int) -> bool:
    before = text[max(0, start - 8) : start].rstrip(_OPENERS)
    return not before or before[-1] in _ENDS
