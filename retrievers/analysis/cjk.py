"""Text without spaces between words (Chinese, Japanese, Korean) -> terms. Knows no language and no index."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache

_HAN_AND_HIRAGANA = "\u3005-\u3007\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KATAKANA_AND_HANGUL = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u1100-\u11ff\uac00-\ud7a3"
UNSPACED = _HAN_AND_HIRAGANA + _KATAKANA_AND_HANGUL
"""Letters that no space parts, as they stand between the brackets of a regular expression."""

_WORD = re.compile(r"\w+")
Cut = Callable[[str], list[str]]
"""A run of letters that no space parts -> its terms, in text order."""


def characters(run: str) -> list[str]:
    """Each by itself.

    >>> characters("北京大")
    ['北', '京', '大']
    """
    return list(run)


def bigrams(run: str) -> list[str]:
    """Each with the next, so that a word of two is a term; one that stands alone, alone.

    >>> bigrams("北京大")
    ['北京', '京大']
    """
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


def both(run: str) -> list[str]:
    """Each alone and with the next, so that a question of a single character finds something too.

    >>> both("北京大")
    ['北', '北京', '京', '京大', '大']
    """
    return [term for i in range(len(run)) for term in (run[i], run[i : i + 2])][:-1]


CUTS: Mapping[str, tuple[str, Cut]] = {
    "characters": (_HAN_AND_HIRAGANA, characters),
    "bigrams": (UNSPACED, bigrams),
    "both": (UNSPACED, both),
}
"""Value of `analyzer.cjk` -> letters that are cut, and how. Characters are those of Lucene's StandardTokenizer, which
leaves Katakana and Hangul in words; bigrams are those of its CJKAnalyzer."""

AS_EVER = "characters"
"""What an index does that says nothing of it."""

CUT_LANGUAGES = ("ja", "ko", "zh")
"""Languages whose text is cut here."""

_MEASURED = {"zh": "bigrams"}


def resolved(cjk: str, language: str) -> str:
    """What `auto` comes to: for a language where it was measured, the best; as ever for others."""
    return _MEASURED.get(language, AS_EVER) if cjk == "auto" else cjk


def split(text: str, cjk: str) -> list[str]:
    """Words and terms of unspaced text, in text order. `cjk`: a key of `CUTS`."""
    letters, cut = CUTS[cjk]
    if not _unlike_latin(letters).search(text):
        return _WORD.findall(text)  # the same, in a third of the time
    found = _runs(letters).findall(text)
    return [term for run, word in found for term in (cut(run) if run else (word,))]


@cache
def _unlike_latin(unspaced: str) -> re.Pattern[str]:
    return re.compile(f"[{unspaced}{_marks()}]")


@cache
def _runs(unspaced: str) -> re.Pattern[str]:
    """A run of unspaced letters, or one of other letters and digits with the marks that sit on them.

    Python's \\w leaves out marks, which would cut Hindi at every vowel sign. Made at the first text that needs it: reading
    all code points takes 70 ms."""
    return re.compile(f"([{unspaced}]+)|([^\\W{unspaced}](?:[^\\W{unspaced}]|[{_marks()}])*)")


@cache
def _marks() -> str:
    points = (c for c in range(0x300, sys.maxunicode + 1) if unicodedata.category(chr(c)) in ("Mn", "Mc"))
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
