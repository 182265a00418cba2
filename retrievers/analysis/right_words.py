"""Which words of a question are right as they are written, whatever an index has. Knows no index."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path

from retrievers.analysis.function_words import is_function_word

_ENGLISH = Path(__file__).with_name("english_words.txt")


def is_right(word: str, languages: Collection[str]) -> bool:
    """Whether a word is a common one of some of these languages, ISO 639-1: of each its function words, and of English more.

    >>> is_right("money", ["en"]), is_right("monney", ["en"]), is_right("wenn", ["de"])
    (True, False, True)
    """
    return is_function_word(word, languages) or ("en" in languages and word.lower() in _english())


@cache
def _english() -> frozenset[str]:
    lines = _ENGLISH.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
