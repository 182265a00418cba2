"""Model text -> the passages it names by letter. Pure; any text gives distinct places, and a report of what was mended."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from rag.core.replies import without_reasoning

LABELS = tuple(ascii_uppercase)

_LETTER = re.compile(r"(?<![^\W_])([A-Z])(?![^\W_]|['’])")
_NAMED = re.compile(r"passages?\s*[:=]?\s*[\[(\"'*]*$", re.IGNORECASE)
_JOINT = re.compile(r"(?:[\s,;:=>&/|()\[\]\"'*-]|and|or|then|passages?)*", re.IGNORECASE)
_SMALL = re.compile(r"(?:passage\s*)*[\[(\"'*]*([a-z])[\])\"'*.]*", re.IGNORECASE)
_WORD_FOLLOWS = re.compile(r"\s+(?!(?:and|or)\b)[a-z]")
_AROUND = {"passage", "passages", "and"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    """What the text got wrong: letters of no passage, letters given again, and whether there was prose around them."""

    unknown: int = 0
    repeated: int = 0
    prose: bool = False

    @property
    def ok(self) -> bool:
        return self == LabelReport()


def parse_labels(text: str, n: int) -> tuple[tuple[int, ...], LabelReport]:
    """Places, from 0, of the passages that `text` names, in order of first mention; `n` passages are A, B, C and so on.

    Reasoning up to `</think>` is left out. Capitals after the word "passage" or in brackets, and those listed with them,
    are read; only if none of them names a passage, every capital on its own is ("vitamin C"). "A" and "I" followed by a
    word are English, unless "passage" stands before them. A lone small letter is a label too.

    >>> parse_labels("Passage C, then A. B is about vitamin D.", 3)
    ((2, 0), LabelReport(unknown=0, repeated=0, prose=True))
    """
    text = unicodedata.normalize("NFKC", without_reasoning(text)).strip()
    letters = [letter for letter in _LETTER.finditer(text) if _is_label(text, letter)]
    places = [LABELS.index(letter[1]) for letter in _marked(text, letters)]
    if not any(place < n for place in places):
        places = [LABELS.index(letter[1]) for letter in letters]
    if not places and (small := _SMALL.fullmatch(text)):
        places = [LABELS.index(small[1].upper())]
    valid = [place for place in places if place < n]
    first = tuple(dict.fromkeys(valid))
    report = LabelReport(
        unknown=len(places) - len(valid),
        repeated=len(valid) - len(first),
        prose=any(len(word) > 1 and word.casefold() not in _AROUND for word in re.findall(r"\w+", text)),
    )
    return first, report


def _is_label(text: str, letter: re.Match[str]) -> bool:
    if letter[1] not in "AI" or _NAMED.search(text, max(0, letter.start() - 20), letter.start()):
        return True
    return _WORD_FOLLOWS.match(text, letter.end()) is None


def _marked(text: str, letters: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    """Those of the letters that the text marks as labels, and those that go on with a list of such."""
    marked: list[re.Match[str]] = []
    for before, letter in zip([None, *letters], letters, strict=False):
        start, end = letter.span()
        named = _NAMED.search(text, max(0, start - 20), start)
        bracketed = text[max(0, start - 1) : start] in ("[", "(") and text[end : end + 1] in ("]", ")")
        listed = before is not None and marked[-1:] == [before] and _JOINT.fullmatch(text, before.end(), start)
        if named or bracketed or listed:
            marked.append(letter)
    return marked
