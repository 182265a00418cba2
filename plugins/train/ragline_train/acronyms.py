"""Acronyms that texts explain themselves: "paid time off (PTO)" (Schwartz and Hearst, PSB 2003, algorithm 1)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_SHORT = re.compile(r"\(([^()\s][^()]{0,9})\)")
"""What stands in brackets may be an acronym where it is of two to ten characters."""


def acronyms_of(texts: Iterable[str], *, least: int = 1) -> dict[str, str]:
    """Acronym -> the long form that most texts give it, of those that at least so many texts explain; in the order of letters."""
    counts: dict[str, Counter[str]] = {}
    for text in texts:
        for short, long in set(explained(text)):
            counts.setdefault(short, Counter())[long] += 1
    best = {short: max(forms.items(), key=lambda form: (form[1], form[0])) for short, forms in counts.items()}
    return {short: long for short, (long, n) in sorted(best.items()) if n >= least}


def explained(text: str) -> Iterable[tuple[str, str]]:
    """Acronyms of a text with their long forms, in its order."""
    for match in _SHORT.finditer(text):
        short = match[1].strip()
        if not _may_be_short(short):
            continue
        words = text[max(0, match.start() - 200) : match.start()].split()
        before = " ".join(words[-_most_words(short) :])
        long = _long_form(short, before)
        if long is not None:
            yield short, long


def _may_be_short(short: str) -> bool:
    """Two characters or more, a capital among them, two words at most; a list, a number and a reference are none."""
    return (
        len(short) >= 2
        and short[0].isalnum()
        and any(each.isupper() for each in short)
        and len(short.split()) <= 2
        and not re.search(r"[;,=]|\d{3}", short)
    )


def _most_words(short: str) -> int:
    """Words of a long form, at most."""
    return min(len(short) + 5, 2 * len(short))


def _long_form(short: str, before: str) -> str | None:
    """The shortest stretch at the end of what stands before that has the letters of the acronym in order; None where none has.

    Letters are looked for from the last to the first. The first has to begin a word.
    """
    place = len(before)
    for number in range(len(short) - 1, -1, -1):
        letter = short[number].casefold()
        if not letter.isalnum():
            continue
        place -= 1
        while place >= 0 and (
            before[place].casefold() != letter or (number == 0 and place > 0 and before[place - 1].isalnum())
        ):
            place -= 1
        if place < 0:
            return None
    long = before[before.rfind(" ", 0, place + 1) + 1 :].strip(" \t\"'([")
    words = long.split()
    fits = len(words) <= _most_words(short) and len(long) > len(short)
    return long if fits and short not in words else None
