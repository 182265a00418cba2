"""Where sentences end. Rules, not a model: chunks only need places to break at; a wrong one costs little."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CANDIDATE = re.compile(
    r"""(?<![.!?…])(?P<stop>[.!?…]+)["'”’»)\]]*(?=\s)"""  # a full stop and what closes behind it
    r"""|[。！？]+[”’」』）]*"""
    r"""|\n[^\S\n]*\n\s*"""  # a blank line
    r"""|\n(?=[^\S\n]*(?:[-*•‣–·▪+]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s)"""  # a list item
)
_WORD_BEFORE = re.compile(r"(?:^|[\s(\[\"'“‘])([\w.]{1,12})$")
_NEXT = re.compile(r"(?<!\s)\s+[\"'“‘(\[]*(\S)")
_NEVER_LAST = frozenset(
    {
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "e.g",
        "i.e",
        "cf",
        "vs",
        "etc",
        "al",
        "approx",
        "dept",
        "jr",
        "sr",
    }
)
_BEFORE_NUMBER = frozenset(["no", "fig", "figs", "eq", "eqs", "sec", "vol", "ch", "art", "p", "pp"])


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the sentences, list items and paragraphs of a text, without the space around them, in order.

    Together they hold every character that is not space. A single line break ends nothing, unless a list item
    follows.

    >>> text = "Dr. Low asks. See no. 3, e.g. on-call."
    >>> [text[start:end] for start, end in sentences(text)]
    ['Dr. Low asks.', 'See no. 3, e.g. on-call.']
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
    word = before[1].lower()
    initial = len(word) == 1 and word.isalpha()
    in_front = text[max(0, before.start(1) - 8) : before.start(1)].rstrip(" \t")
    number_of_item = word.isdigit() and (not in_front or in_front.endswith("\n"))
    return not (initial or number_of_item or word in _NEVER_LAST or (word in _BEFORE_NUMBER and after[1].isdigit()))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    kept = piece.strip()
    if kept:
        start += len(piece) - len(piece.lstrip())
        yield start, start + len(kept)
