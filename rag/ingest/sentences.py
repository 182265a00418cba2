"""Where sentences end. Rules, not a model: chunks only need places to break at; a wrong one costs little."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.ingest.abbreviations import BEFORE_NUMBER, BEFORE_ORDINAL, GERMAN_MONTHS, MONTHS, NEVER_LAST

_CANDIDATE = re.compile(
    r"""(?<![.!?…])(?P<stop>[.!?…]+)["'”’»)\]]*(?=\s)"""  # a full stop and what closes behind it
    r"""|[。！？।॥؟۔։]+[”’」』）]*"""
    r"""|\n[^\S\n]*\n\s*"""  # a blank line
    r"""|\n(?=[^\S\n]*(?:[-*•‣–·▪+]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s)"""  # a list item
)
_WORD_BEFORE = re.compile(r"(?:^|[\s(\[\"'“‘])([\w.]{1,12})$")
_NEXT = re.compile(r"(?<!\s)\s+[\"'“‘(\[]*(\S)")
_WORD_IN_FRONT = re.compile(r"(\w{2,4})[ \t]$")


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the sentences, list items and paragraphs of a text, without the space around them, in order.

    Together they hold every character that is not space. A single line break ends nothing, unless a list item
    follows.

    >>> text = "Dr. Low asks. See no. 3, e.g. on-call. Er kam am 31. März."
    >>> [text[start:end] for start, end in sentences(text)]
    ['Dr. Low asks.', 'See no. 3, e.g. on-call.', 'Er kam am 31. März.']
    """
    start = 0
    for match in _CANDIDATE.finditer(text):
        if match["stop"] and not _ends(text, match):
            continue
        yield from _trimmed(text, start, match.end())
        start = match.end()
    yield from _trimmed(text, start, len(text))


def _ends(text: str, stop: re.Match[str]) -> bool:
    after = _NEXT.match(text, stop.end())
    if after is None:
        return True
    if after[1].islower():
        return False
    if stop["stop"] != ".":
        return True
    before = _WORD_BEFORE.search(text, max(0, stop.start() - 14), stop.start())
    if before is None:
        return True
    return not (_is_short(before[1], after[1]) or _counts(text, before, after))


def _is_short(word: str, following: str) -> bool:
    """Whether this is an initial or an abbreviation; `following`: the first character behind it."""
    folded = word.casefold()
    initial = len(word) == 1 and word.isalpha()
    return initial or folded in NEVER_LAST or word in MONTHS or (folded in BEFORE_NUMBER and following.isdigit())


def _counts(text: str, before: re.Match[str], after: re.Match[str]) -> bool:
    """Whether a number before a full stop is that of a list item, or an ordinal such as the 31st of March in German."""
    number, start = before[1], before.start(1)
    if not number.isdigit():
        return False
    in_front = text[max(0, start - 8) : start]
    word = _WORD_IN_FRONT.search(in_front)
    ordinal = len(number) <= 2 and (
        (word is not None and word[1].casefold() in BEFORE_ORDINAL) or text.startswith(GERMAN_MONTHS, after.start(1))
    )
    return ordinal or not in_front.strip(" \t") or in_front.rstrip(" \t").endswith("\n")


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    kept = piece.strip()
    if kept:
        start += len(piece) - len(piece.lstrip())
        yield start, start + len(kept)
