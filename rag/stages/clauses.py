"""Markers behind clauses: a sentence that joins facts of two passages says which is which. For text that comes in pieces.

"190 euros abroad, 90 days after the trip [2]." becomes "190 euros abroad [1], 90 days after the trip [2]." where the words
of the first clause are those of another passage. As lexical as all of `rag.stages.cite`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.core.types import Document
from rag.stages.cite import PassageWords, content_words
from rag.stages.markers import MARKER

_THRESHOLD, _MARGIN = 0.6, 0.3
"""Least share of a clause's words that its passage has, and by how much that is ahead of any other's."""
_LONGEST = 240
"""Characters behind a clause that are held back until it is known whether it gets a marker."""
_JOINING = (
    *("and", "but", "while", "whereas", "aber", "sowie", "und", "während", "et", "mais", "e", "ma", "mas", "mentre"),
    *("mientras", "pero", "y", "en", "maar", "men", "och", "og", "ja", "mutta", "ale", "oraz", "а", "и", "но"),
)
"""Words that may join clauses. One that stands elsewhere does no harm: a boundary alone adds no marker."""
_BEGUN = sorted({word[:n] for word in _JOINING for n in range(1, len(word) + 1)}, key=len, reverse=True)
_STOP, _CLOSERS = "[.!?…。！？]", r"[\"'”’»)*_]{0,3}"
_BOUNDARY = re.compile(
    rf"(?P<marked>(?:{_STOP}{_CLOSERS})?{MARKER.pattern})"
    r"|(?P<stop>[.!?…](?=\s)|[。！？\n])"
    rf"|(?P<clause>[,;:–—](?=\s)|[，；、،؛]|\s(?:{'|'.join(_JOINING)})(?=\s))",
    re.IGNORECASE,
)
# What may still become a boundary, or another one.
_UNFINISHED = re.compile(
    rf"(?:{_STOP}{_CLOSERS})?[ \t]*\[[\d\s,;]{{0,800}}\Z|{_STOP}{_CLOSERS}[ \t]*\Z|[,;:–—]\Z"
    rf"|\s+(?:{'|'.join(_BEGUN)})?\Z",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")


class ClauseMarks:
    """Adds the marker of its passage behind a clause, where what follows in the sentence is of another one.

    What is handed out is final, and joined it does not depend on how the text was cut up. Nothing is added behind a backtick:
    it may be code. Only the end of a clause whose passage is clear holds back the clause behind it.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self._words = PassageWords(documents)
        self._clause = ""  # what is said since the last boundary
        self._number = 0  # the passage of the clause before, if it has no marker yet
        self._held = ""  # what came behind it
        self._tail = ""  # what may become a boundary
        self._in_code = False
        self.added = 0

    def add(self, piece: str) -> str:
        """What is settled after one more piece."""
        text = self._tail + piece
        unfinished = _UNFINISHED.search(text)
        return self._read(text, unfinished.start() if unfinished else len(text))

    def finish(self) -> str:
        """What was held back, at the end of the text."""
        return self._read(self._tail, len(self._tail)) + self._settled(add=False)

    def _read(self, text: str, end: int) -> str:
        out, offset = list[str](), 0
        for boundary in _BOUNDARY.finditer(text):
            if boundary.start() >= end:
                break
            out += self._said(text[offset : boundary.start()]), self._ended(boundary)
            offset = boundary.end()
        out.append(self._said(text[offset:end]))
        self._tail = text[max(offset, end) :]
        return "".join(out)

    def _said(self, text: str) -> str:
        self._clause += text
        self._in_code = self._in_code or "`" in text
        if not self._number:
            return text
        self._held += text
        return self._settled(add=False) if self._in_code or len(self._held) > _LONGEST else ""

    def _ended(self, boundary: re.Match[str]) -> str:
        if boundary["clause"] and len(content_words(self._clause)) < 2:
            return self._said(boundary[0])  # too short to be of a passage: it goes with what follows
        clause, self._clause = self._clause, ""
        here = 0 if self._in_code else self._words.passage_of(clause, threshold=_THRESHOLD, margin=_MARGIN)
        marked = [int(number) for number in _NUMBER.findall(boundary["marked"] or "")]
        other = 0 if boundary["stop"] else here or self._better(clause, marked)
        out = self._settled(add=other not in (0, self._number))
        if not boundary["clause"] or not here:
            return out + boundary[0]
        self._number, self._held = here, boundary[0]
        return out

    def _better(self, clause: str, marked: Sequence[int]) -> int:
        """Of the passages that the model names here, the one with more of the clause than the clause before's; 0: none."""
        if not self._number or not marked or self._number in marked:
            return 0
        shares = self._words.shares(clause)
        named = [number for number in marked if 1 <= number <= len(shares)]
        if not named:
            return 0
        best = max(named, key=lambda number: shares[number - 1])
        return best if shares[best - 1] > shares[self._number - 1] else 0

    def _settled(self, *, add: bool) -> str:
        """What was held back, behind the marker of the clause before where one is added."""
        number, self._number, held, self._held = self._number, 0, self._held, ""
        if not number or not add:
            return held
        self.added += 1
        return f" [{number}]{held}"
