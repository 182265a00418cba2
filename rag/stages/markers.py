"""Markers: the numbers in brackets by which a model says which passages it used. Pure functions.

A marker is a number from 1 in brackets, or several: [2], [1, 3]. Only the model's own text is read. Brackets inside a
code span or a fenced block are code, not markers. As in Markdown, a backtick that nothing closes is no code span.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.core.types import Citation

MARKER = re.compile(r"[ \t]*\[\s{0,3}(\d{1,15}(?:\s{0,3}[,;]\s{0,3}\d{1,15}){0,31})\s{0,3}\]")
# What could still become a marker: blanks, or an open bracket with nothing in it that a marker cannot hold.
_UNFINISHED = re.compile(r"[ \t]*\[[\d\s,;]{0,800}\Z|[ \t]+\Z")
_NUMBER = re.compile(r"\d+")
_TICKS = re.compile(r"`+|\n")
_LONGEST_SPAN = 1_000
"""Characters from a backtick to the one that closes it: beyond, a stream would be held back for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedText:
    """A text without markers that point nowhere, where its good markers are, and how many numbers were removed.

    `in_code`: markers that would be good, did they not stand in code. `moved`: numbers that were exchanged for others.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    removed: int = 0
    in_code: int = 0
    moved: int = 0


Aim = Callable[[str, Sequence[int]], Sequence[int]]
"""The text before a marker, and its good numbers -> the numbers that it should have."""


def check_markers(text: str, doc_ids: Sequence[str], *, aim: Aim | None = None) -> CheckedText:
    """Keep markers that point at one of the passages, remove the others; nothing else is touched.

    In a marker of several numbers only the bad ones are removed. A marker that is removed whole takes the blanks before
    it along.

    >>> checked = check_markers("Frames are steel [1, 9]. Wheels are round [7].", ["d4", "d2"])
    >>> checked.text, checked.removed
    ('Frames are steel [1]. Wheels are round.', 2)
    """
    filter_ = MarkerFilter(doc_ids, aim=aim)
    return filter_.checked(filter_.add(text) + filter_.finish())


class MarkerFilter:
    """`check_markers` for a text that arrives in pieces: nothing is handed out that might still be removed.

    All pieces handed out, joined, are the text that `check_markers` gives for all pieces taken, joined.
    """

    def __init__(self, doc_ids: Sequence[str], *, aim: Aim | None = None) -> None:
        self._doc_ids, self._aim = tuple(doc_ids), aim
        self._before = ""  # what was handed out, where it is asked for
        self._last: tuple[int, list[int]] = (-1, [])  # where the last marker ended, and its numbers
        self._fenced = False
        self._held = ""
        self._length = 0
        self._citations: list[Citation] = []
        self.removed = self.in_code = self.moved = 0

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Good markers so far, in order of the text; one per number."""
        return tuple(self._citations)

    def checked(self, text: str) -> CheckedText:
        """What was found, with the pieces that were handed out, joined."""
        return CheckedText(
            text=text, citations=self.citations, removed=self.removed, in_code=self.in_code, moved=self.moved
        )

    def add(self, piece: str) -> str:
        """What is settled after one more piece."""
        text = self._held + piece
        # A run of backticks may go on, and its length decides whether what follows is code.
        end = len(text.rstrip("`"))
        if unfinished := _UNFINISHED.search(text):
            end = min(end, unfinished.start())
        end = min(end, _code(text[:end], self._fenced, whole=False).settled)
        self._held = text[end:]
        return self._checked(text[:end])

    def finish(self) -> str:
        """What was held back, at the end of the text."""
        held, self._held = self._held, ""
        return self._checked(held)

    def _checked(self, text: str) -> str:
        code = _code(text, self._fenced, whole=True)
        self._fenced = code.fenced
        out: list[str] = []
        offset = 0
        for marker in MARKER.finditer(text):
            self._emit(text[offset : marker.start()], out)
            bracket = text.index("[", marker.start())
            inside = any(start <= bracket < end for start, end in code.spans)
            self._emit(self._left(marker) if inside else self._judged(marker), out)
            offset = marker.end()
        self._emit(text[offset:], out)
        return "".join(out)

    def _emit(self, text: str, out: list[str]) -> None:
        self._length += len(text)
        if self._aim:
            self._before += text
        out.append(text)

    def _left(self, match: re.Match[str]) -> str:
        self.in_code += any(1 <= int(number) <= len(self._doc_ids) for number in _NUMBER.findall(match[1]))
        return match[0]

    def _judged(self, match: re.Match[str]) -> str:
        numbers = [int(number) for number in _NUMBER.findall(match[1])]
        good = [number for number in numbers if 1 <= number <= len(self._doc_ids)]
        self.removed += len(numbers) - len(good)
        if not good:
            return ""
        if self._aim:
            aimed = list(self._aim(self._before, good))
            self.moved += len(set(good) - set(aimed))
            good = aimed
        blanks = len(match[0]) - len(match[0].lstrip(" \t"))
        marker = match[0][blanks:] if good == numbers else f"[{', '.join(map(str, good))}]"
        if self._aim and self._last[0] == self._length and set(good) <= set(self._last[1]):
            return ""  # two markers side by side came to say the same
        start = self._length + blanks
        self._last = (start + len(marker), good)
        self._citations += [
            Citation(marker=number, doc_id=self._doc_ids[number - 1], start=start, end=start + len(marker))
            for number in dict.fromkeys(good)
        ]
        return match[0][:blanks] + marker


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    """`spans`: where code is, its backticks included. `fenced`: a fence is open at the end. `settled`: up to where more text
    cannot change that."""

    spans: tuple[tuple[int, int], ...]
    fenced: bool
    settled: int


def _code(text: str, fenced: bool, *, whole: bool) -> _Code:
    """The code of a text that begins inside a fence, or outside. `whole`: no more of it comes."""
    spans: list[tuple[int, int]] = []
    opened = 0
    runs = list(_TICKS.finditer(text))
    place = 0
    while place < len(runs):
        run, place = runs[place], place + 1
        if run[0] == "\n":
            continue
        if len(run[0]) >= 3:
            if fenced:
                spans.append((opened, run.end()))
            fenced, opened = not fenced, run.start()
        elif not fenced:
            closer = _closer(runs, place, run)
            if closer is not None:
                spans.append((run.start(), runs[closer].end()))
                place = closer + 1
            elif (
                not whole
                and not any(later[0] == "\n" for later in runs[place:])
                and len(text) - run.end() < _LONGEST_SPAN
            ):
                return _Code(spans=tuple(spans), fenced=False, settled=run.start())
    if fenced:
        spans.append((opened, len(text)))
    return _Code(spans=tuple(spans), fenced=fenced, settled=len(text))


def _closer(runs: Sequence[re.Match[str]], place: int, opener: re.Match[str]) -> int | None:
    """Which of the runs from `place` on closes a code span; None where its line ends first, or it is too far."""
    for number in range(place, len(runs)):
        run = runs[number]
        if run[0] == "\n" or run.start() - opener.end() >= _LONGEST_SPAN:
            return None
        if run[0] == opener[0]:
            return number
    return None


def without_markers(text: str) -> str:
    """The text with all markers, and the blanks before them, taken out."""
    return MARKER.sub("", text)
