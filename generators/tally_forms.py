"""Words of questions and of values in the forms in which either may have them: the singular, the plural, an ending more."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.core.replies import folded

_WORD = re.compile(r"[^\W_]+")
_ENDINGS = {"s": 3, "es": 4, "n": 4, "en": 4, "e": 4}
"""An ending of a plural or a case, and the fewest letters before it."""


def words_of(text: str) -> list[str]:
    """The words of a text, without letter case. Names of fields are words with underscores between.

    >>> words_of("Grey seals: how many?"), words_of("Miles_per_Gallon")
    (['grey', 'seals', 'how', 'many'], ['miles', 'per', 'gallon'])
    """
    return _WORD.findall(folded(text))


def forms(name: str) -> tuple[str, ...]:
    """A name in the singular and in the plural, as English makes them."""
    if name.endswith("ies"):
        return name, f"{name[:-3]}y"
    if name.endswith("s"):
        return name, name[:-1]
    return name, f"{name}s"


def stems(phrase: str) -> Iterator[str]:
    """The phrase, then what it may be an inflected form of, the likeliest first.

    >>> list(stems("grey seals"))
    ['grey seals', 'grey seal']
    >>> list(stems("Robben"))
    ['Robben', 'Robbe', 'Robb']
    """
    yield phrase
    if phrase.endswith("ies"):
        yield f"{phrase[:-3]}y"
    for ending, fewest in _ENDINGS.items():
        stem = phrase.removesuffix(ending)
        if stem != phrase and len(stem) >= fewest:
            yield stem
    if not phrase.endswith("s"):
        yield f"{phrase}s"
