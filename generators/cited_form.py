"""The form of an answer with citations: sentences that end in numbers of passages that exist, or the refusal alone.

One regular expression of the kind that all engines read: no look-around, no back-references, no Unicode classes. After a
full stop only a marker may follow, or what goes on without a blank, as in "3.5" and "node.js"; so no next sentence begins,
and the answer does not end, before the marker is written. Abbreviations, initials and ordinals ("31. März") go on, and a
number alone is no sentence that a full stop ends. Lists, lines that end in a colon, code in backticks and fenced code are
possible. Brackets outside of code are markers alone.

What it lets through: a sentence without a marker whose last word is an initial or an abbreviation ("in the U.S. It"), and
one that the limit of tokens cuts off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from rag.ingest.abbreviations import BEFORE_NUMBER, BEFORE_ORDINAL, GERMAN_MONTHS, MONTHS, NEVER_LAST

_STOP = ".!?…。！？"
_CLOSER = r"""["'”’»)*_]"""
_CODE = r"`(?:[^`\s]* ){0,20}[^`\s]*`"
"""Up to 21 words. A bound in characters has a state for each, and an engine looks at its whole vocabulary in every state."""
_SMALL = "a-zß-öø-ÿāăąćčďđēęěğīįķļłńņňőřśşšťūůűųźżžа-яёα-ω"
_CAPITAL = "A-ZÀ-ÖØ-ÞĆČĎĐŁŃŘŚŠŹŻŽА-ЯΑ-Ω"
_NO_COLON = rf"[^\s\[\]`{_STOP}0-9:：]|{_CODE}|[{_STOP}]{{1,3}}[a-z0-9]"
_BEYOND_DIGITS = rf"(?:{_NO_COLON}|[:：])"
_PART = rf"(?:[0-9]|{_BEYOND_DIGITS})"


def _one_of(words: Iterable[str], before: str = "") -> str:
    """An expression for one of these words. A letter that begins one, or stands behind a full stop, may be a capital."""
    behind = dict[str, list[str]]()
    for word in sorted(words):
        behind.setdefault(word[:1], []).append(word[1:])
    branches = []
    for letter, rests in behind.items():
        either = f"[{letter}{letter.upper()}]" if before in ("", ".") and letter.isalpha() else re.escape(letter)
        branches.append(either + _one_of(rests, letter) if letter else "")
    return f"(?:{'|'.join(branches)})" if len(branches) > 1 else branches[0]


_SHORT = _one_of((NEVER_LAST | BEFORE_NUMBER | {month.casefold() for month in MONTHS}) - {"no", "s", "č"})
_ORDINAL = (
    rf"[0-9]{{1,2}}\. (?:{'|'.join(GERMAN_MONTHS)}|[{_SMALL}]{_PART}*)"
    rf"|(?:{_one_of(BEFORE_ORDINAL)}) [0-9]{{1,2}}\."
)
_QUOTED = rf"{_PART}+[!?…]{{1,3}}[\"”’»]{{1,2}}(?:,| [{_SMALL}]{_PART}*)"
"""The end of what is quoted, within a sentence: 'the message "You can't print yet!" goes away'."""
_GOING_ON = rf"(?:{_PART}+|{_QUOTED}|[(\"“]?(?:{_SHORT}\.|(?:[{_CAPITAL}]\.)+|[{_SMALL}]\.|{_ORDINAL})) "
"""A word that another follows."""
_LETTERS = rf"(?:[0-9]*(?:{_BEYOND_DIGITS}{_PART}*(?:[0-9]|{_NO_COLON})|(?:{_NO_COLON}))|(?:[{_CAPITAL}]\.)+)"
"""A last word that is more than a number, and after which nothing is to come, as it is after a colon."""
_STOPS = rf" ?[{_STOP}]{{1,3}}{_CLOSER}{{0,3}}"
_ITEM = r" {0,4}(?:[-*•]|[0-9]{1,2}[.)]) "
_FENCED = r"```[a-z]{0,12}\n[^`]*```"


@cache
def cited_form(n: int, refusal: str) -> str:
    """The expression for answers from `n` passages. An empty refusal is none.

    >>> import regex
    >>> form = cited_form(2, "I don't know")
    >>> [bool(regex.fullmatch(form, text)) for text in ("Steel. [1]", "Steel [1], not 3.5 tin [2].", "Steel.", "Tin [3].")]
    [True, True, False, False]
    """
    marker = rf"(?: ?\[(?:{'|'.join(map(str, range(1, n + 1)))})\]){{1,3}}"
    cited = rf"{marker}{_CLOSER}{{0,3}}[,;:{_STOP}]?"
    last = rf"(?:{_LETTERS}(?:{_STOPS}{marker}|{cited})|[0-9]+{cited})"
    part = rf"(?:(?:{_GOING_ON})*{last}|(?:{_GOING_ON})+[0-9]+{_STOPS}{marker})"
    line = rf"(?:{_ITEM})?{part}(?: {part})*"
    leading = rf"(?:(?:{_ITEM})?(?:{_GOING_ON})*{_PART}+:\*{{0,2}}|{_FENCED})"
    text = rf"(?:(?:{line}|{leading})\n{{1,2}})*{line}"
    return rf"(?:{_literal(refusal)}\.?|{text})" if refusal else text


def _literal(text: str) -> str:
    return re.sub(r"([\\.^$|?*+()\[\]{}])", r"\\\1", text.rstrip(". "))
