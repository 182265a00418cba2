"""A guard: no question that a model is judged by may teach it, nor one that is nearly the same."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

from rag.errors import SpecError
from rag.files import text_sha256

_WORD = re.compile(r"\w+")
_GRAM = 4
"""Letters of a piece. Shorter ones are shared by most texts of a language."""
_SHINGLE = 5
"""Words of a piece of a passage."""
_COMMON = 50
"""Passages that have a piece: one that more have says nothing, such as a licence."""


def normal(text: str) -> str:
    """The words of a text, one space apart: case, space and punctuation make no difference.

    >>> normal("  What's   a ＰＡＹ-day? ")
    'what s a pay day'
    """
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def question_digest(text: str) -> str:
    """sha256 of the normal form: two questions that differ in case, space and punctuation alone have the same."""
    return text_sha256(normal(text))


def pieces(text: str) -> frozenset[str]:
    """Runs of four letters of the normal form; a shorter text is its own piece."""
    letters = normal(text)
    return frozenset(letters[at : at + _GRAM] for at in range(max(1, len(letters) - _GRAM + 1)))


class Alike:
    """Texts, to be asked which of them another is like. Jaccard's share of pieces in common; every text is compared."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._sizes = []
        self._having: defaultdict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            found = pieces(text)
            self._sizes.append(len(found))
            for piece in found:
                self._having[piece].append(number)

    def closest(self, text: str) -> tuple[int, float] | None:
        """Number and share of the text that is most alike, the first of equals; None where nothing is shared."""
        mine = pieces(text)
        shared = Counter(number for piece in mine for number in self._having.get(piece, ()))
        shares = ((n / (len(mine) + self._sizes[number] - n), -number) for number, n in shared.items())
        best = max(shares, default=None)
        return None if best is None else (-best[1], best[0])


def copies(texts: Sequence[str], *, least: float = 0.5) -> list[int]:
    """For each text the number of the first text of its cluster: those that share most of their words in order are one cluster.

    Every run of five words is hashed and a quarter of the hashes is kept (Broder's mod sketch, 1997), so a corpus is read once.

    Args:
        least: share of the smaller text's runs that two of a cluster have in common.
    """
    sketches = [_sketch(text) for text in texts]
    having: defaultdict[int, list[int]] = defaultdict(list)
    first = list(range(len(texts)))

    def root(number: int) -> int:
        while first[number] != number:
            first[number] = first[first[number]]
            number = first[number]
        return number

    for number, sketch in enumerate(sketches):
        shared = Counter(other for run in sketch for other in having[run])
        for other, n in shared.items():
            if n >= least * min(len(sketch), len(sketches[other])):
                one, two = sorted((root(number), root(other)))
                first[two] = one
        for run in sketch:
            if len(having[run]) < _COMMON:
                having[run].append(number)
    return [root(number) for number in range(len(texts))]


def _sketch(text: str) -> frozenset[int]:
    words = normal(text).split()
    runs = {crc32(" ".join(words[at : at + _SHINGLE]).encode()) for at in range(max(1, len(words) - _SHINGLE + 1))}
    return frozenset(run for run in runs if run % 4 == 0) or frozenset(runs)


NEAR = 0.7
"""Share of pieces of four letters that two questions have in common, from which they are nearly the same."""


class LeakedQuestion(SpecError):
    """A question that judges is among those that were to teach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """`qid`: the judged question. `kind`: the same but for case, space and punctuation, or nearly the same."""

    qid: str
    kind: Literal["same", "near"]


class Guard:
    """Questions that judge, by qid. An empty one lets everything through."""

    def __init__(self, judged: Mapping[str, str]) -> None:
        self._qids = list(judged)
        self._by_digest = {question_digest(text): qid for qid, text in reversed([*judged.items()])}
        self._alike = Alike([*judged.values()])

    def __len__(self) -> int:
        return len(self._qids)

    def leak(self, text: str) -> Leak | None:
        """The judged question that a text gives away; None where it gives none away."""
        same = self._by_digest.get(question_digest(text))
        if same is not None:
            return Leak(qid=same, kind="same")
        found = self._alike.closest(text)
        if found is None or found[1] < NEAR:
            return None
        return Leak(qid=self._qids[found[0]], kind="near")

    def leaks(self, texts: Iterable[str]) -> list[Leak | None]:
        return [self.leak(text) for text in texts]

    def require_none(self, texts: Sequence[str], *, place: str) -> None:
        """Return if no text gives a judged question away.

        Args:
            place: where the texts come from, for the message.
        Raises:
            LeakedQuestion: names the first five, by their place and qid alone.
        """
        found = [(number, leak) for number, leak in enumerate(self.leaks(texts), start=1) if leak is not None]
        if found:
            some = ", ".join(f"{number} ({leak.kind} as '{leak.qid}')" for number, leak in found[:5])
            raise LeakedQuestion(
                f"{place}: {len(found)} of {len(texts)} questions are those that the model is to be judged by, or nearly so:"
                f" question {some}. What judges must not teach: take them out of {place}, or judge by others"
            )
