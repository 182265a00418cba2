"""What of the passages is nearest to the question: shown to the model once more, in front of the question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from rag.core.arguments import require_positive
from rag.core.types import NO_USAGE, OK, Context, Document, Highlight, Usage
from rag.core.words import in_one_line
from rag.ingest.sentences import sentences
from rag.stages.passages import defused
from retrievers.index.opening import encoder_of
from retrievers.index_protocol import Index

_FEW_WORDS = 6
"""A sentence of fewer words is read with the next: the name of an option, a heading, the number of a list."""
_LONGEST = 400
"""Characters of a highlight: a model reads it a second time."""
_WORD = re.compile(r"\w+")


class HighlightsAssembler:
    """The same passages, with the sentences of them that are nearest to the question (ours).

    A small model that reads a thousand words misses the line that answers, or takes its neighbour's. So it is shown the
    nearest lines once more, right in front of the question. The encoder of the index's vectors says which are near: it reads
    each sentence behind its title. An index without vectors, and passages of no more sentences than are shown, give none.

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
        texts = [unit.text for own in read for unit in own]
        encoder = encoder_of(self.index) if texts else None
        if encoder is None:
            return [replace(each, outcome=OK, usage=NO_USAGE) for each in contexts]
        vectors = iter(encoder.encode(texts, role="document"))
        questions = encoder.encode([each.query.asked for each in contexts], role="query")
        nearest = []
        for own, question in zip(read, questions, strict=True):
            close = np.array([next(vectors) @ question for _ in own])
            best = np.argsort(-close, kind="stable")[: self.n]
            nearest.append(tuple(own[place].highlight for place in best))
        usage = Usage(seconds=(perf_counter() - started) / len(contexts))
        return [
            replace(each, highlights=highlights, outcome=OK, usage=usage)
            for each, highlights in zip(contexts, nearest, strict=True)
        ]

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
    """A sentence, or short ones that are read together. `text`: as the encoder reads it."""

    text: str
    highlight: Highlight


def _units(context: Context) -> Iterator[_Unit]:
    for marker, hit in enumerate(context.passages, start=1):
        document = hit.document
        for start, end in _joined(document):
            end = min(end, start + _LONGEST)
            text = document.text[start:end]
            titled = f"{document.title}. {text}" if document.title else text
            yield _Unit(titled, Highlight(marker=marker, start=start, end=end))


def _joined(document: Document) -> list[tuple[int, int]]:
    """Spans of the sentences; one of few words together with the next."""
    spans: list[tuple[int, int]] = []
    for start, end in sentences(document.text):
        if spans and len(_WORD.findall(document.text[slice(*spans[-1])])) < _FEW_WORDS:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans
