"""Mending what a model wrote: loops, echoes of the prompt, half sentences. Pure, and for text that comes in pieces.

A unit is a sentence, or a line where that ends first; the markers behind a full stop belong to it. What is handed out is
final. The first unit comes word by word: it is kept even where it has no end, since nothing else would be left. Later ones
come whole, for only then it is known whether they end. Fenced code is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from rag.core.types import Message
from rag.ingest.sentences import sentences
from rag.stages.cite import says
from rag.stages.markers import MARKER, without_markers

Words = tuple[str, ...]

_WORD = re.compile(r"[^\W_]+")
_SPOKEN = re.compile(r"([^\W_]+)[^\w\s]*")
_UNCLOSED = re.compile(r"\[[\d\s,;]*\Z")
_ITEM = re.compile(r"\s*(?:[-*•]|\(?\d{1,3}[.)])\s+")
_LABEL = re.compile(r"[ \t*_#]*([^\W\d_][\w ]{0,24})[ \t]*:[*_]*[ \t]*")
_BEHIND_LABEL = re.compile(r"[ \t]*(?::[*_]*[ \t]*)?")
_HEADING = re.compile(r"\s*\[(\d{1,3})\]")
_BEHIND = re.compile(rf"(?:{MARKER.pattern})*[.!?]*")
_WHOLE = re.compile(r"(?:[.!?…。！？][\"'”’»」』)*_`]*|\])\s*\Z")
_NUMBERED_HEADING = re.compile(r"\s*(?:§\s*\d{1,3}|\d{1,3}[.)]|\d{1,3}(?:\.\d{1,3})+[.)]?)\s+[^\W\d_]")
_VARIABLE = re.compile(r"\{\w+\}")
_FENCE = "```"
_LOOKAHEAD = 16
"""Characters behind a full stop by which it is certain that a sentence ends there."""
_LONGEST_ROUND = 16
"""Words of what is said again and again within a unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a prompt says, so that an answer need not. Words are folded, and markers are none.

    `rules`: its sentences. `question`: the user's. `titles`: number of a passage -> the words of its heading. `headings`: parts
    of them that begin with a number, such as "3. Bunk house"; others may be what is asked for. `labels`: what
    begins a line of it before a colon, such as "answer". `asking`: the one of them that the question stands behind.
    """

    rules: frozenset[Words] = frozenset()
    question: Words = ()
    titles: Mapping[int, Words] = field(default_factory=dict, hash=False)
    headings: frozenset[Words] = frozenset()
    labels: frozenset[str] = frozenset()
    asking: str = ""

    @classmethod
    def of(cls, turns: Sequence[Message], *, question: str, titles: Sequence[str] = (), refusal: str = "") -> Said:
        """Of a prompt's turns before its variables have values. An answer may say the refusal."""
        lines = [line for turn in turns for line in turn.content.splitlines()]
        rules = [line[start:end] for line in lines for start, end in sentences(line) if not _VARIABLE.search(line)]
        rules += [rule.rpartition(": ")[2] for rule in rules]  # an example that is given within a sentence
        labels = {line: _folded(found) for line in lines if (found := _LABEL.match(line))}
        return cls(
            rules=frozenset(
                _words(rule) for rule in rules if _is_long(_words(rule)) and not (refusal and says(rule, refusal))
            ),
            question=_words(question),
            titles={number: words for number, title in enumerate(titles, start=1) if (words := _words(title))},
            headings=frozenset(
                _words(part) for title in titles for part in title.split(" › ") if _NUMBERED_HEADING.match(part)
            ),
            labels=frozenset(labels.values()),
            asking=next((label for line, label in labels.items() if "{question}" in line), ""),
        )


class Mender:
    """Mends a text that arrives in pieces. What it hands out, joined, does not depend on how the text was cut up.

    Left out are: a unit that was said before (a short one, when it comes a third time in a row), and after two of those all
    that follows; what goes round within a unit, and all that follows; the question, the rules of the prompt, headings of
    passages and labels such as "Answer:"; a further question, and all that follows; a last unit without an end, where the
    limit of tokens cut it off and others stand before it.
    """

    def __init__(self, said: Said) -> None:
        self._said = said
        self._text = ""  # the unit that is being written, and what came behind it
        self._shown = 0  # characters of it that were handed out
        self._looked_at = 0  # words of it that do not go round
        self._handed = self._fenced = False
        self._kept: list[Words] = []
        self._again = 0
        self.loops = self.echoes = self.half_sentences = 0
        self.done = False

    @property
    def counts(self) -> dict[str, int]:
        """How often what was mended; without kinds that did not occur."""
        found = {"loops": self.loops, "echoes": self.echoes, "half_sentences": self.half_sentences}
        return {name: n for name, n in found.items() if n}

    def add(self, piece: str) -> str:
        """What is settled after one more piece. Once `done` is true, nothing will be any more."""
        if self.done:
            return ""
        self._text += piece
        settled = self._units(whole=False)
        return settled if self.done else settled + self._begun()

    def finish(self, *, cut: bool) -> str:
        """What was held back, at the end of the text. `cut`: the limit of tokens ended it, not the model."""
        if self.done:
            return ""
        settled = self._units(whole=True)
        rest, self._text = self._text, ""
        if self.done or not rest.strip():
            return settled + ("" if self.done else self._out(rest))
        return settled + self._judged(rest, half=cut and not _WHOLE.search(rest))

    def _units(self, *, whole: bool) -> str:
        """All units that something follows, judged."""
        out: list[str] = []
        while not self.done:
            while self._unlabel():
                pass
            end = self._end(whole=whole)
            if self.done or end is None:
                break
            unit, self._text = self._text[:end], self._text[end:]
            out.append(self._judged(unit))
        return "".join(out)

    def _end(self, *, whole: bool) -> int | None:
        """Where the unit ends; None while that is not certain."""
        start, stop, ended = self._line()
        if self._fenced or self._text.startswith(_FENCE, start):
            return stop if ended else None
        end = self._sentence(stop)
        if end is None:
            return stop if ended else None
        return end if whole or ended or len(self._text[end:].lstrip()) >= _LOOKAHEAD else None

    def _line(self) -> tuple[int, int, bool]:
        """Where the first line with something on it begins and ends, and whether its end is there."""
        start = len(self._text) - len(self._text.lstrip())
        stop = self._text.find("\n", start)
        return start, len(self._text) if stop < 0 else stop, stop >= 0

    def _sentence(self, stop: int) -> int | None:
        """Where the first sentence ends, if something follows it on its line."""
        spans = list(islice(sentences(self._text[:stop]), 2))
        if len(spans) < 2:
            return None
        behind = _BEHIND.match(self._text, spans[0][1], stop)
        end = behind.end() if behind else spans[0][1]
        return end if self._text[end:stop].strip() else None

    def _unlabel(self) -> bool:
        """Take a label off the beginning of the unit, once something follows it on its line; say whether there was one."""
        start = self._line()[0]
        found = None if self._fenced or self._shown else _LABEL.match(self._text, start)
        if found is None or self._text[found.end() : found.end() + 1] in ("", "\n"):
            return False
        label = _folded(found)
        if label == self._said.asking and self._kept:
            self.echoes, self.done = self.echoes + 1, True
        elif label in self._said.labels and label != self._said.asking:
            self.echoes, self._looked_at = self.echoes + 1, 0
            self._text = self._text[:start] + self._text[found.end() :]
            return True
        return False

    def _begun(self) -> str:
        """Of a unit that goes on, what stays whatever follows. A unit that goes round ends the text."""
        start, stop, _ = self._line()
        if self._fenced or self._text.startswith(_FENCE, start):
            return ""
        end = self._sentence(stop)
        words = _spoken(self._text[: stop if end is None else end])
        if words and words[-1].end(1) == len(self._text):
            words.pop()  # it may go on
        n, loops = _rounds(words, after=max(0, self._looked_at - 3 * _LONGEST_ROUND))
        if loops:
            return self._judged(self._text[: words[-1].end()])
        self._looked_at = len(words)
        if self._kept or n == 0 or self._may_be_said(start, self._text[: words[-1].end()]):
            return ""
        safe = words[n - 1].end()
        piece, self._shown = self._text[self._shown : safe], max(self._shown, safe)
        return self._out(piece)

    def _may_be_said(self, start: int, begun: str) -> bool:
        """Whether this can become what the prompt says."""
        if self._text.startswith("[", start):
            return True
        words = _words(_UNCLOSED.sub("", begun))
        if any(said[: len(words)] == words for said in (*self._said.rules, self._said.question, *self._said.headings)):
            return True
        line = self._text[start:].lstrip("*_# ").casefold()
        label = _LABEL.match(line)
        if label and _folded(label) == self._said.asking:
            return True
        return any(label.startswith(line) or _may_follow(line, label) for label in self._said.labels)

    def _judged(self, unit: str, *, half: bool = False) -> str:
        """What stays of a unit."""
        self._looked_at = 0
        if self._fenced or unit.lstrip().startswith(_FENCE):
            self._fenced ^= unit.count(_FENCE) % 2 == 1
            return self._keep(unit, ())
        spoken = _spoken(unit)
        n, loops = _rounds(spoken)
        words = _words(_ITEM.sub("", unit, count=1))
        if loops:
            self.loops, self.done = self.loops + 1, True
            return self._keep(unit[: spoken[n - 1].end()], words) if n and not self._kept else ""
        if half and self._kept:
            self.half_sentences += 1
            return self._drop()
        if self._is_echo(unit, words):
            self.echoes += 1
            return self._drop()
        said = words or (unit.strip(),)
        if said in self._kept if _is_long(words) else self._kept[-2:] == [said, said]:
            self.loops, self._again = self.loops + 1, self._again + 1
            self.done = self._again == 2
            return self._drop()
        self._again = 0
        return self._keep(unit, said)

    def _is_echo(self, unit: str, words: Words) -> bool:
        label, heading = _LABEL.match(unit.lstrip()), _HEADING.match(unit)
        if label and (_folded(label) == self._said.asking or label.end() == len(unit.strip())):
            return _folded(label) in self._said.labels
        if heading and words == self._said.titles.get(int(heading[1])):
            return True
        if _NUMBERED_HEADING.match(unit) and _words(unit) in self._said.headings:
            return True
        if words == self._said.question:  # a few words that were searched for can be an answer
            return unit.rstrip().endswith("?") or len(words) > 4
        return words in self._said.rules

    def _keep(self, unit: str, words: Words) -> str:
        self._kept.append(words)
        piece, self._shown = unit[self._shown :], 0
        return self._out(piece)

    def _drop(self) -> str:
        self._shown = 0
        return ""

    def _out(self, piece: str) -> str:
        """The piece; blanks that stood behind something that was left out do not begin a text."""
        if not self._handed and self.counts:
            piece = piece.lstrip()
        self._handed = self._handed or bool(piece)
        return piece


def _rounds(spoken: Sequence[re.Match[str]], *, after: int = 0) -> tuple[int, bool]:
    """How many of the words stand before those that go round, and whether they go round often enough to be a loop.

    That is three times, and eight words at least: "very, very, very" is none. `after`: words that are not looked at.
    """
    words = [each[1].casefold() for each in spoken[after:]]
    same = [0] * (_LONGEST_ROUND + 1)  # words at the end that are those of so many words before
    for place, word in enumerate(words):
        for length in range(1, min(place, _LONGEST_ROUND) + 1):
            same[length] = same[length] + 1 if words[place - length] == word else 0
            if same[length] >= max(2 * length, 8 - length):
                return after + place + 1 - same[length], True
    return len(spoken) - max(same), False


def _spoken(text: str) -> list[re.Match[str]]:
    """The words, each with the punctuation behind it; group 1 is the word alone."""
    return list(_SPOKEN.finditer(text))


def _words(text: str) -> Words:
    return tuple(word.casefold() for word in _WORD.findall(without_markers(text)))


def _is_long(words: Words) -> bool:
    """Whether two units with these words are hardly so by chance."""
    return len(words) >= 4 or sum(map(len, words)) >= 16


def _folded(label: re.Match[str]) -> str:
    return label[1].casefold().strip()


def _may_follow(line: str, label: str) -> bool:
    return line.startswith(label) and _BEHIND_LABEL.fullmatch(line, len(label)) is not None
