"""What of the passages is nearest to the question: shown to the model once more, in front of the question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from rag.core.arguments import require_positive
from rag.core.norms import z_score
from rag.core.types import OK, Context, Document, Highlight, Usage
from rag.core.words import in_one_line
from rag.ingest.sentences import sentences
from rag.stages.cite import weights
from rag.stages.passages import defused
from rag.stages.stretch import stems
from retrievers.index.opening import encoder_of
from retrievers.index_protocol import Index

_FEW_WORDS = 6
"""A sentence of fewer words is read with the next: the name of an option, a heading, the number of a list."""
_LONGEST = 400
"""Characters of a highlight: a model reads it a second time."""
_RANK = 0.5
"""What the standing of a passage counts for, beside vectors and words."""
_WORD = re.compile(r"\w+")


class HighlightsAssembler:
    """The same passages, with the sentences of them that are nearest to the question (ours).

    A small model that reads a thousand words misses the line that answers, or takes its neighbour's. So it is shown the
    nearest lines once more, right in front of the question. How near a sentence is, is the sum of three numbers, each
    standardised over all sentences: the cosine of its vector to the question's, by the encoder of the index, which reads it
    behind its title; the words that it shares with the question, weighed by their rarity; and half of how high its passage
    stands. An index without vectors goes by the other two. Passages of no more sentences than are shown give none.

    Args:
        index: the index that the passages are of.
        n: sentences that are shown once more, at most.
    """

    def __init__(self, *, index: Index, n: int = 4) -> None:
        require_positive("assemble.highlights", n=n)
        self.index, self.n = index, n

    def assemble(self, contexts: Sequence[Context]) -> list[Context]:
        """One context per context, in order. A context that has its answer already is left as it is."""
        started = perf_counter()
        read = [[] if each.settled else [*_units(each)] for each in contexts]
        read = [own if len(own) > self.n else [] for own in read]
        questions = [each.query.asked for each in contexts]
        measured = zip(questions, read, self._cosines(questions, read), strict=True)
        nearest = [_nearest(*each)[: self.n] for each in measured]
        usage = Usage(seconds=(perf_counter() - started) / max(1, len(contexts)))
        return [
            replace(each, highlights=highlights, outcome=OK, usage=usage)
            for each, highlights in zip(contexts, nearest, strict=True)
        ]

    def _cosines(self, questions: Sequence[str], read: Sequence[Sequence[_Unit]]) -> list[list[float]]:
        """Of each question's units to it; 0 in an index without vectors."""
        texts = [f"{unit.title}. {unit.text}" if unit.title else unit.text for own in read for unit in own]
        encoder = encoder_of(self.index) if texts else None
        if encoder is None:
            return [[0.0] * len(own) for own in read]
        vectors = iter(encoder.encode(texts, role="document"))
        asked = encoder.encode(questions, role="query")
        return [[float(next(vectors) @ question) for _ in own] for own, question in zip(read, asked, strict=True)]

    def warm_up(self) -> None:
        """Load what reads sentences now instead of at the first question."""
        if (encoder := encoder_of(self.index)) is not None:
            encoder.encode(["warm"], role="document")


def shown_highlights(context: Context) -> str:
    """The highlights as a prompt shows them, a line each with the number of its passage behind it; empty where there are none."""
    texts = [context.passages[each.marker - 1].document.text[each.start : each.end] for each in context.highlights]
    lines = [
        f"{defused(in_one_line(text))} [{each.marker}]" for text, each in zip(texts, context.highlights, strict=True)
    ]
    return "\n".join(["Nearest to the question:", *lines]) if lines else ""


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or short ones that are read together."""

    title: str
    text: str
    highlight: Highlight


def _nearest(question: str, units: Sequence[_Unit], cosines: Sequence[float]) -> tuple[Highlight, ...]:
    """All of them, the nearest first."""
    held, asked = [stems(unit.text) for unit in units], stems(question)
    weigh = weights(held)
    shared = [weigh(asked & words) for words in held]
    cosine, words, rank = (
        z_score(of)[0] for of in (cosines, shared, [-float(unit.highlight.marker) for unit in units])
    )
    order = sorted(range(len(units)), key=lambda place: -(cosine[place] + words[place] + _RANK * rank[place]))
    return tuple(units[place].highlight for place in order)


def _units(context: Context) -> Iterator[_Unit]:
    for marker, hit in enumerate(context.passages, start=1):
        document = hit.document
        for start, end in _joined(document):
            end = min(end, start + _LONGEST)
            yield _Unit(document.title, document.text[start:end], Highlight(marker=marker, start=start, end=end))


def _joined(document: Document) -> list[tuple[int, int]]:
    """Spans of the sentences; one of few words together with the next."""
    spans: list[tuple[int, int]] = []
    for start, end in sentences(document.text):
        if spans and len(_WORD.findall(document.text[slice(*spans[-1])])) < _FEW_WORDS:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans
