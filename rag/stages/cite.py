"""Citations: the passages that an answer rests on, and their sentences, by the words that they share. Pure functions.

What is found here is lexical: it says where words come from, and can neither see a negation nor a paraphrase.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

from rag.core.types import Citation, Document
from rag.ingest.sentences import sentences
from rag.stages.markers import MARKER, Aim, without_markers

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


_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_WITHOUT_NUMBER = 0.4
"""What a passage's share of words is worth for each number that it lacks: less than half, so that one with as many words and the
number is taken instead."""
_SIMILAR = 0.25
"""Share of a claim's words from which on a passage counts as having words like it."""


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
    words = PassageWords(documents)
    citations = []
    for start, end in _unmarked(text, cited):
        said = MARKER.sub(" ", text[start:end])
        number = words.passage_of(said, threshold=threshold, margin=margin, min_terms=min_terms)
        if number:
            doc_id = documents[number - 1].doc_id
            citations.append(Citation(marker=number, doc_id=doc_id, start=start, end=end, by="attribution"))
    return tuple(citations)


class PassageWords:
    """The content words of passages, each weighed by its rarity among them; see `attribute`."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._passages = [set(_terms(document.full_text)) for document in documents]
        self._weigh = weights(self._passages)

    def shares(self, said: str) -> list[float]:
        """The share of what is said that each passage has, 0 to 1; 0 of a text without content."""
        terms = set(_terms(said))
        return _shares(terms, self._passages, self._weigh) if terms else [0.0] * len(self._passages)

    def passage_of(self, said: str, *, threshold: float, margin: float, min_terms: int = 2) -> int:
        """The number, from 1, of the one passage that what is said comes from; 0 where that is not clear."""
        if len(set(_terms(said))) < min_terms or not self._passages:
            return 0
        shares = self.shares(said)
        best, *others = sorted(range(len(shares)), key=lambda position: -shares[position])
        second = shares[others[0]] if others else 0.0
        return best + 1 if shares[best] >= threshold and shares[best] - second >= margin else 0


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


def aim_at(documents: Sequence[Document]) -> Aim:
    """What moves markers to these passages: the text before a marker and its numbers -> the numbers that it should have.

    Left out are numbers of passages that have few of the words that the marker stands behind: less than half of what the
    best passage has. A passage without a number that is said, and that another one has, counts as having fewer. Where none is
    left, it is the best passage's. Nothing changes where no passage has a quarter of the words.
    Those are of the last sentence with words before the marker, or of its last clause, where a marker stands before that. As
    lexical as all here: it helps a model that knows what to say and not where it read it.
    """
    words = PassageWords(documents)
    held = [set(_NUMBER.findall(document.text)) for document in documents]

    def aim(before: str, numbers: Sequence[int]) -> list[int]:
        said = _last_said(before)
        known = set(_NUMBER.findall(said)) & set().union(*held)
        shares = [
            share * _WITHOUT_NUMBER ** len(known - own) for share, own in zip(words.shares(said), held, strict=True)
        ]
        best = max(shares, default=0.0)
        if best < _SIMILAR:
            return list(numbers)
        return [number for number in numbers if shares[number - 1] >= best / 2] or [shares.index(best) + 1]

    return aim


def _last_said(text: str) -> str:
    """The last sentence with words, without what stands before its last marker, unless hardly a word is left."""
    clause = MARKER.split(text)[-1]
    plain = clause if len(content_words(clause)) > 1 else without_markers(text)
    said = [plain[start:end] for start, end in sentences(plain) if _WORD.search(plain, start, end)]
    return said[-1] if said else ""


def with_similarity(text: str, citations: Sequence[Citation], documents: Sequence[Document]) -> tuple[Citation, ...]:
    """The citations, each with whether a sentence of its passage has words like those of what it is cited for.

    A marker that a model copied out of a passage, or guessed, points at a passage that says something else.
    """
    similar = cache(_similar)  # a model may say one marker many times
    return tuple(replace(c, similar=similar(claim_of(text, c), documents[c.marker - 1].full_text)) for c in citations)


def says_nothing(claim: str) -> bool:
    """Whether a claim has no content words of its own, as a plain yes."""
    return set(_terms(claim)) <= {"yes"}


def _similar(claim: str, passage: str) -> bool:
    """A claim without content is like anything."""
    return says_nothing(claim) or support(claim, passage) is not None


def support(claim: str, passage: str, *, threshold: float = _SIMILAR) -> tuple[int, int] | None:
    """Where the sentence of a passage is that shares most words with a claim: its first character, one past its last.

    Shares are those of `attribute`, with the passage's sentences in the place of the passages, and as lexical: the
    words say where to look, not that the claim is true. The first of equal sentences is taken.

    Args:
        threshold: None is returned where no sentence has this share of the claim, 0 to 1.
    """
    spans, held = _sentence_terms(passage)
    terms = set(_terms(without_markers(claim)))
    if not terms or not spans:
        return None
    shares = _shares(terms, held, weights(held))
    best = max(range(len(spans)), key=shares.__getitem__)
    return spans[best] if shares[best] >= threshold else None


def content_words(text: str) -> set[str]:
    """The words of a text that `support` and `overlap` compare: folded, without stop words."""
    return set(_terms(text))


def overlap(claim: str, passage: str) -> float:
    """The share of a claim's words that a passage has, 0 to 1, each weighed by its rarity among the passage's sentences."""
    terms = set(_terms(without_markers(claim)))
    _, held = _sentence_terms(passage)
    if not terms or not held:
        return 0.0
    weigh = weights(held)
    return weigh(terms & set().union(*held)) / weigh(terms)


def _sentence_terms(passage: str) -> tuple[list[tuple[int, int]], list[set[str]]]:
    """Where the sentences of a passage stand, and the terms of each."""
    spans = list(sentences(passage))
    return spans, [set(_terms(passage[start:end])) for start, end in spans]


def weights(texts: Sequence[set[str]]) -> Callable[[set[str]], float]:
    """What terms weigh together, each by its rarity among texts; the sum does not depend on their order."""
    found_in = Counter(term for text in texts for term in text)
    unknown = math.log(1 + 2 * len(texts))
    rarity = {term: math.log(1 + len(texts) / n) for term, n in found_in.items()}
    return lambda terms: math.fsum(rarity.get(term, unknown) for term in terms)


def _shares(terms: set[str], texts: Sequence[set[str]], weigh: Callable[[set[str]], float]) -> list[float]:
    """The share of these terms that each text has, by weight."""
    whole = weigh(terms)
    return [weigh(terms & words) / whole for words in texts]


def _unmarked(text: str, cited: Sequence[Citation]) -> Iterator[tuple[int, int]]:
    """Spans of sentences without a citation. A marker after the full stop belongs to the sentence before it."""
    spans = list(sentences(text))
    marked = [False] * len(spans)
    for citation in cited:
        position = next((i for i, (_, end) in enumerate(spans) if citation.start < end), None)
        if position is None:
            continue
        marked[position] = True
        opens = not _WORD.search(MARKER.sub(" ", text[spans[position][0] : citation.start]))
        if opens and position:
            marked[position - 1] = True
    yield from (span for span, has in zip(spans, marked, strict=True) if not has)


def _terms(text: str) -> list[str]:
    """Content words, folded and with a plural s taken off, so that "frames" finds "frame". A lone letter is none."""
    words = (word.casefold() for word in _TERM.findall(text))
    return [_singular(word) for word in words if word not in _STOP_WORDS]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


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
