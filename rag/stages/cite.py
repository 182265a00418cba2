"""Citations: the passages that an answer rests on, and their sentences, from markers that the model wrote and support found
afterwards by shared words. Pure functions.

A marker is a number from 1 in brackets, or several: [2], [1, 3]. Only the model's own text is read; a passage's text
is never searched for markers. A passage that contains "[3]" is shown to the model as it is: rewriting it would
falsify code and references, and a marker that the model copies is checked like any other. So a copied marker that
happens to be in range counts as a citation.

Brackets inside a code span or a fenced block are code, not markers.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rag.core.types import Citation, Document
from rag.ingest.sentences import sentences

_MARKER = re.compile(r"[ \t]*\[\s{0,3}(\d{1,9}(?:\s{0,3}[,;]\s{0,3}\d{1,9}){0,31})\s{0,3}\]")
# What could still become a marker: blanks, or an open bracket with nothing in it that a marker cannot hold.
_UNFINISHED = re.compile(r"[ \t]*\[[\d\s,;]{0,600}\Z|[ \t]+\Z")
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[^\W_]+")
# Scripts that put no spaces between words, Han, kana, Thai and their like: there a character stands for a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_TERM = re.compile(rf"(?=[^\W_])[{_UNSPACED}]|[^\W_{_UNSPACED}]{{2,}}|\d")
_STOP_WORDS = frozenset(
    _WORD.findall(
        """
        a an and are as at be been but by can did do does for from had has have he her his how i if in into
        is it its may more no not of on or our she so such than that the their them then there these they
        this to was we were what when where which who will with would you your
        """
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedText:
    """A text without markers that point nowhere, where its good markers are, and how many numbers were removed."""

    text: str
    citations: tuple[Citation, ...] = ()
    removed: int = 0


def check_markers(text: str, doc_ids: Sequence[str]) -> CheckedText:
    """Keep markers that point at one of the passages, remove the others; nothing else is touched.

    In a marker of several numbers only the bad ones are removed. A marker that is removed whole takes the blanks before
    it along.

    >>> checked = check_markers("Frames are steel [1, 9]. Wheels are round [7].", ["d4", "d2"])
    >>> checked.text, checked.removed
    ('Frames are steel [1]. Wheels are round.', 2)
    """
    filter_ = MarkerFilter(doc_ids)
    kept = filter_.add(text) + filter_.finish()
    return CheckedText(text=kept, citations=filter_.citations, removed=filter_.removed)


class MarkerFilter:
    """`check_markers` for a text that arrives in pieces: nothing is handed out that might still be removed.

    All pieces handed out, joined, are the text that `check_markers` gives for all pieces taken, joined.
    """

    def __init__(self, doc_ids: Sequence[str]) -> None:
        self._doc_ids = tuple(doc_ids)
        self._code = _CodeState()
        self._held = ""
        self._length = 0
        self._citations: list[Citation] = []
        self.removed = 0

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Good markers so far, in order of the text; one per number."""
        return tuple(self._citations)

    def add(self, piece: str) -> str:
        """What is settled after one more piece."""
        text = self._held + piece
        unfinished = _UNFINISHED.search(text)
        end = unfinished.start() if unfinished else len(text)
        # A run of backticks may go on, and its length decides whether what follows is code.
        end = min(end, len(text.rstrip("`")))
        self._held = text[end:]
        return self._checked(text[:end])

    def finish(self) -> str:
        """What was held back, at the end of the text."""
        held, self._held = self._held, ""
        return self._checked(held)

    def _checked(self, text: str) -> str:
        out: list[str] = []
        offset = 0
        for marker in _MARKER.finditer(text):
            self._emit(text[offset : marker.start()], out)
            self._emit(marker[0] if self._code.inside else self._judged(marker), out)
            offset = marker.end()
        self._emit(text[offset:], out)
        return "".join(out)

    def _emit(self, text: str, out: list[str]) -> None:
        self._code.read(text)
        self._length += len(text)
        out.append(text)

    def _judged(self, match: re.Match[str]) -> str:
        numbers = [int(number) for number in _NUMBER.findall(match[1])]
        good = [number for number in numbers if 1 <= number <= len(self._doc_ids)]
        self.removed += len(numbers) - len(good)
        if not good:
            return ""
        blanks = len(match[0]) - len(match[0].lstrip(" \t"))
        marker = match[0][blanks:] if len(good) == len(numbers) else f"[{', '.join(map(str, good))}]"
        start = self._length + blanks
        self._citations += [
            Citation(marker=number, doc_id=self._doc_ids[number - 1], start=start, end=start + len(marker))
            for number in dict.fromkeys(good)
        ]
        return match[0][:blanks] + marker


class _CodeState:
    """Whether a place in Markdown is inside code, told from what stands before it."""

    def __init__(self) -> None:
        self._fenced = self._spanned = False

    @property
    def inside(self) -> bool:
        return self._fenced or self._spanned

    def read(self, text: str) -> None:
        for match in re.finditer(r"`+|\n", text):
            if match[0] == "\n":
                self._spanned = False
            elif len(match[0]) >= 3:
                self._fenced = not self._fenced
            elif not self._fenced:
                self._spanned = not self._spanned


def attribute(
    text: str,
    documents: Sequence[Document],
    *,
    cited: Sequence[Citation] = (),
    threshold: float = 0.6,
    margin: float = 0.1,
    min_terms: int = 2,
) -> tuple[Citation, ...]:
    """Citations of sentences that the model left without a marker, by the words they share with a passage.

    Support of a sentence by a passage is the share of the sentence's content terms found in the passage, each term
    weighted by its rarity among the passages, log(1 + n / df), with df 1/2 for a term that no passage has. This is
    lexical: it finds where words come from, and can neither see a negation nor a paraphrase. In scripts without spaces
    between words, characters are the terms.

    Args:
        documents: the passages, in the order of their numbers.
        cited: citations that exist; a sentence with one of them in it, or right behind it, is left alone.
        threshold: least support, 0 to 1.
        margin: how far the best passage must be ahead of the second.
        min_terms: sentences with fewer content terms are left alone.
    """
    passages = [set(_terms(document.full_text)) for document in documents]
    weigh = _weights(passages)
    citations = []
    for start, end in _unmarked(text, cited):
        terms = set(_terms(_MARKER.sub(" ", text[start:end])))
        if len(terms) < min_terms or not passages:
            continue
        shares = [weigh(terms & passage) / weigh(terms) for passage in passages]
        best, *others = sorted(range(len(passages)), key=lambda position: -shares[position])
        second = shares[others[0]] if others else 0.0
        if shares[best] >= threshold and shares[best] - second >= margin:
            doc_id = documents[best].doc_id
            citations.append(Citation(marker=best + 1, doc_id=doc_id, start=start, end=end, by="attribution"))
    return tuple(citations)


def claim_of(text: str, citation: Citation) -> str:
    """The words of an answer that a citation stands behind, without markers.

    An attributed sentence is all of it. A marker that the model wrote belongs to what its sentence says before it, or
    the sentence before where it says nothing; at the very beginning, to the sentence after it.
    """
    if citation.by == "attribution":
        return without_markers(text[citation.start : citation.end])
    before, after = without_markers(text[: citation.start]), without_markers(text[citation.end :])
    for part, position in ((before, -1), (after, 0)):
        said = [part[start:end] for start, end in sentences(part) if _WORD.search(part, start, end)]
        if said:
            return said[position]
    return ""


def support(claim: str, passage: str, *, threshold: float = 0.25) -> tuple[int, int] | None:
    """Where the sentence of a passage is that shares most words with a claim: its first character, one past its last.

    Shares are those of `attribute`, with the passage's sentences in the place of the passages, and as lexical: the
    words say where to look, not that the claim is true. The first of equal sentences is taken.

    Args:
        threshold: None is returned where no sentence has this share of the claim, 0 to 1.
    """
    spans = list(sentences(passage))
    held = [set(_terms(passage[start:end])) for start, end in spans]
    terms = set(_terms(without_markers(claim)))
    if not terms or not spans:
        return None
    weigh = _weights(held)
    shares = [weigh(terms & words) / weigh(terms) for words in held]
    best = max(range(len(spans)), key=shares.__getitem__)
    return spans[best] if shares[best] >= threshold else None


def _weights(texts: Sequence[set[str]]) -> Callable[[set[str]], float]:
    """What terms weigh together, each by its rarity among texts; the sum does not depend on their order."""
    found_in = Counter(term for text in texts for term in text)
    unknown = math.log(1 + 2 * len(texts))
    rarity = {term: math.log(1 + len(texts) / n) for term, n in found_in.items()}
    return lambda terms: math.fsum(rarity.get(term, unknown) for term in terms)


def _unmarked(text: str, cited: Sequence[Citation]) -> Iterator[tuple[int, int]]:
    """Spans of sentences without a citation. A marker after the full stop belongs to the sentence before it."""
    spans = list(sentences(text))
    marked = [False] * len(spans)
    for citation in cited:
        position = next((i for i, (_, end) in enumerate(spans) if citation.start < end), None)
        if position is None:
            continue
        marked[position] = True
        opens = not _WORD.search(_MARKER.sub(" ", text[spans[position][0] : citation.start]))
        if opens and position:
            marked[position - 1] = True
    yield from (span for span, has in zip(spans, marked, strict=True) if not has)


def _terms(text: str) -> list[str]:
    """Content words, folded and with a plural s taken off, so that "frames" finds "frame". A lone letter is none."""
    words = (word.casefold() for word in _TERM.findall(text))
    return [_singular(word) for word in words if word not in _STOP_WORDS]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def without_markers(text: str) -> str:
    """The text with all markers, and the blanks before them, taken out."""
    return _MARKER.sub("", text)


def says(text: str, phrase: str) -> bool:
    """Whether a text declines in the words of `phrase`: it begins with them, or is hardly longer than they are.

    Case, punctuation, apostrophes and markers do not matter.

    >>> says("I do not know. [1]", "I don't know"), says("Those who don't know it ask Ada.", "I don't know")
    (True, False)
    """
    words, wanted = _plain_words(without_markers(text)), _plain_words(phrase)
    if not wanted:
        return False
    places = range(len(words) - len(wanted) + 1)
    place = next((place for place in places if words[place : place + len(wanted)] == wanted), None)
    return place is not None and (place == 0 or len(words) <= 2 * len(wanted) + 2)


def _plain_words(text: str) -> list[str]:
    bare = re.sub(r"['’‘ʼ`]", "", text.casefold())
    return _WORD.findall(re.sub(r"\b(do|does|did) not\b", r"\1nt", bare))
