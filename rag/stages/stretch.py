"""The parts of passages that are read where there is no time for all: whole sentences around what matches a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rag.core.replies import folded
from rag.core.types import Document
from rag.ingest.sentences import sentences
from rag.stages.cite import content_words, weights
from rag.stages.passages import numbered
from rag.stages.ruler import Ruler

Span = tuple[int, int]

_FADING = 0.5
"""What a sentence is worth for standing beside one that matches."""
_FAR = 3
"""Sentences from it on that are worth something for that."""
_AHEAD = 0.3
"""How much more a sentence of the best passage is worth than one of a passage that is last by far."""
_LETTERS = 5
"""Letters by which words are compared, for most languages inflect the end of a word. Names with digits are compared whole."""


def stretches(
    documents: Sequence[Document], question: str, *, room: int, ruler: Ruler
) -> list[tuple[int, Document, int]]:
    """What stays of passages, which are in ranking order: place, the part of the passage, and its tokens, by place (ours).

    A sentence is worth the share of the question's words that it has, each weighed by its rarity among all sentences, or
    half of what the sentence beside it is worth, and so on; and it is worth more the higher its passage stands. One that a
    better passage has too, as replies quote what they answer, is worth nothing by itself. A passage is begun with its best
    sentence. From there all grow, always by the sentence at an end of one that is worth most, until nothing more fits.
    Passages of which nothing fits are left out.
    """
    passages = _passages(documents, question, ruler)
    while ways := [way for passage in passages for way in passage.next(room)]:
        grown = max(ways, key=lambda way: way.worth)  # of two that are worth the same, that of the better passage
        room -= grown.tokens
        grown.passage.window = grown.window
    kept = [(passage.place, passage.part(*passage.window)) for passage in passages if passage.window]
    tokens = ruler.count([numbered(part, place + 1) for place, part in kept])
    return [(place, part, n) for (place, part), n in zip(kept, tokens, strict=True)]


@dataclass(slots=True)
class _Passage:
    """A passage, its sentences with what each is worth and its tokens, and the window of them that stays."""

    document: Document
    place: int
    spans: list[Span]
    worth: list[float]
    tokens: list[int]
    heading: int
    window: Span | None = None

    def next(self, room: int) -> Iterator[_Growth]:
        """The sentences that the window can grow by and that fit."""
        if not self.spans:
            return
        if self.window is None:
            best = max(range(len(self.spans)), key=self.worth.__getitem__)
            ways = [(best, (best, best + 1), self.heading)]
        else:
            first, end = self.window
            ways = [(end, (first, end + 1), 0)] if end < len(self.spans) else []
            ways += [(first - 1, (first - 1, end), 0)] if first else []
        for sentence, window, more in ways:
            if self.tokens[sentence] + more <= room:
                yield _Growth(self, self.worth[sentence], window, self.tokens[sentence] + more)

    def part(self, first: int, end: int) -> Document:
        """The passage from one sentence to before another; itself where that is all."""
        whole = (first, end) == (0, len(self.spans))
        return self.document if whole else cut(self.document, self.spans[first][0], self.spans[end - 1][1])


@dataclass(frozen=True, slots=True)
class _Growth:
    """A sentence that a window may grow by."""

    passage: _Passage
    worth: float
    window: Span
    tokens: int


def _passages(documents: Sequence[Document], question: str, ruler: Ruler) -> list[_Passage]:
    asked = stems(question)
    spans = [list(sentences(document.text)) for document in documents]
    texts = [[document.text[a:b] for a, b in own] for document, own in zip(documents, spans, strict=True)]
    headings = [
        numbered(replace(document, text=""), place).rstrip() for place, document in enumerate(documents, start=1)
    ]
    counts = iter(ruler.count([*headings, *(f" {text}" for own in texts for text in own)]))
    heading_tokens = [next(counts) for _ in headings]
    held = [[stems(text) for text in own] for own in texts]
    weigh = weights([words for own in held for words in own])
    whole = weigh(asked) or 1.0
    passages, shown = [], set[str]()
    for place, document in enumerate(documents):
        ahead = _AHEAD * (1 - place / len(documents))
        words = [*map(folded, texts[place])]
        values = [weigh(asked & each) / whole for each in held[place]]
        own = [0.0 if said in shown else value for said, value in zip(words, values, strict=True)]
        shown.update(words)
        worth = [ahead + value for value in _faded(own)]
        tokens = [next(counts) for _ in texts[place]]
        passages.append(_Passage(document, place, spans[place], worth, tokens, heading_tokens[place]))
    return passages


def _faded(own: Sequence[float]) -> list[float]:
    """What each of some sentences in a row is worth: its own value, or what is left of that of one near it.

    >>> _faded([0.0, 0.0, 1.0, 0.0, 0.75])
    [0.25, 0.5, 1.0, 0.5, 0.75]
    """
    reach = range(-_FAR, _FAR + 1)
    return [max(own[at + n] * _FADING ** abs(n) for n in reach if 0 <= at + n < len(own)) for at in range(len(own))]


def stems(text: str) -> set[str]:
    """The words of content by which a question and a sentence are compared."""
    return {word[:_LETTERS] if word.isalpha() else word for word in content_words(text)}


def cut(document: Document, start: int, end: int) -> Document:
    """The characters of a passage from `start` to `end`; a chunk's own span moves with them."""
    text = document.text[start:end]
    left = len(text) - len(text.lstrip())
    span = span_of(document)
    moved = {"start": min(span[0] + start + left, span[1]), "end": min(span[0] + end, span[1])} if span else {}
    return replace(document, text=text.strip(), metadata={**document.metadata, **moved})


def span_of(document: Document) -> Span | None:
    """Where a chunk stands in its parent, if it says so."""
    start, end = document.metadata.get("start"), document.metadata.get("end")
    return (start, end) if isinstance(start, int) and isinstance(end, int) and start < end else None
