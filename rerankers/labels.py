"""Model text -> the passages it names by letter. Pure; any text gives distinct places, and a report of what was mended."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from string import ascii_uppercase

from rerankers.permutation import without_reasoning

LABELS = tuple(ascii_uppercase)

_LETTER = re.compile(r"(?<![^\W_])([A-Z])(?![^\W_]|['’])")
_NAMED = re.compile(r"passages?\s*[:=]?\s*[\[(\"'*]*$", re.IGNORECASE)
_SMALL = re.compile(r"(?:passage\s*)?[\[(\"'*]*([a-z])[\])\"'*.]*", re.IGNORECASE)
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

    Reasoning up to `</think>` is left out. A capital on its own is a label; "A" and "I" followed by a word are English,
    unless "passage" stands before them. A lone small letter is a label too.

    >>> parse_labels("Passage C, then A.", 3)
    ((2, 0), LabelReport(unknown=0, repeated=0, prose=True))
    """
    text = unicodedata.normalize("NFKC", without_reasoning(text)).strip()
    letters = [found[1] for found in _LETTER.finditer(text) if _is_label(text, found)]
    if not letters and (small := _SMALL.fullmatch(text)):
        letters = [small[1].upper()]
    places = [LABELS.index(letter) for letter in letters]
    valid = [place for place in places if place < n]
    first = tuple(dict.fromkeys(valid))
    report = LabelReport(
        unknown=len(places) - len(valid),
        repeated=len(valid) - len(first),
        prose=any(len(word) > 1 and word.casefold() not in _AROUND for word in re.findall(r"\w+", text)),
    )
    return first, report


def _is_label(text: str, found: re.Match[str]) -> bool:
    if found[1] not in "AI" or _NAMED.search(text, max(0, found.start() - 20), found.start()):
        return True
    return _WORD_FOLLOWS.match(text, found.end()) is None
