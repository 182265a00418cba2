"""What an answer must copy exactly: its numbers and names, and which of them no passage has. Pure functions.

A number is compared without what stands between its digits, so "4,011" is "4.011" and "4 011". One digit alone is left out,
for passages spell such numbers. A name is a word with a capital that does not begin a sentence; a passage has it where one
of its words begins alike. Where a third of all words have capitals, as in German, capitals are no sign of a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_NUMBER = re.compile(r"\d+(?:[.,:/'’\u00a0\u202f -]\d+)*")
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_OPENERS = "\"'“‘„«([*_ \t"
_ENDS = ".!?:…。\n"
_LEAST_LETTERS = 3
_ENDING = 3
"""Letters that endings change: "Berlin's", "Athenians"."""
_MOST_CAPITALS = 1 / 3


def missing_in(text: str, sources: Sequence[str]) -> list[str]:
    """The numbers and names of a text that none of the sources has, in order.

    >>> missing_in("It took Ada 4,011 days and 3 hours.", ["In 4011 days it was done."])
    ['Ada']
    """
    whole = "\n".join(sources)
    numbers, folded = _values(whole), whole.casefold()
    missing = [found[0] for found in _NUMBER.finditer(text) if not _has_number(found[0], numbers)]
    words = {word[0][:_LEAST_LETTERS] for word in _WORD.finditer(folded)}
    for name in _names(text) if _capitals_are_names(f"{text}\n{whole}") else ():
        stem = name.casefold()[: max(_LEAST_LETTERS, len(name) - _ENDING)]
        if stem[:_LEAST_LETTERS] not in words or stem not in folded:
            missing.append(name)
    return list(dict.fromkeys(missing))


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
