"""The sentences of an answer as claims, and an answer without some of them. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rag.core.types import Answer, Document
from rag.ingest.sentences import sentences
from rag.stages.checks.exact import missing_in
from rag.stages.cite import overlap
from rag.stages.markers import MARKER, without_markers

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A sentence of an answer without its markers, the question behind it, and the passages that it may rest on.

    `cited`: the passages, from 0, that the model's own markers in the sentence name.
    """

    question: str
    text: str
    passages: tuple[Document, ...]
    cited: tuple[int, ...] = ()


def claim_of(answer: Answer, span: Span) -> Claim:
    start, end = span
    cited = [c.marker - 1 for c in answer.citations if c.by == "model" and start <= c.start < end]
    return Claim(
        question=answer.query.asked,
        text=without_markers(answer.text[start:end]),
        passages=tuple(hit.document for hit in answer.context.passages),
        cited=tuple(dict.fromkeys(cited)),
    )


def claim_spans(text: str) -> list[Span]:
    """Spans of the sentences that have words, in order. Markers behind a full stop belong to the sentence before them.

    >>> text = "Frames are steel. [1] Wheels are round [2]."
    >>> [text[start:end] for start, end in claim_spans(text)]
    ['Frames are steel. [1]', 'Wheels are round [2].']
    """
    spans: list[Span] = []
    for start, end in sentences(text):
        while spans and (marker := MARKER.match(text, start, end)):
            spans[-1] = (spans[-1][0], marker.end())
            start = marker.end() + len(text[marker.end() : end]) - len(text[marker.end() : end].lstrip())
        if any(c.isalnum() for c in without_markers(text[start:end])):
            spans.append((start, end))
    return spans


def not_copied(claim: Claim) -> tuple[str, ...]:
    """The numbers and names of a claim that neither a passage has nor the question (`rag.stages.checks.exact`)."""
    return tuple(missing_in(claim.text, [claim.question, *(passage.full_text for passage in claim.passages)]))


def most_like(claim: Claim, n: int) -> list[int]:
    """At most `n` passages, from 0: those that the claim cites, then those that share most words with it."""
    rest = [place for place in range(len(claim.passages)) if place not in claim.cited]
    if len(rest) > 1:
        shares = {place: overlap(claim.text, claim.passages[place].full_text) for place in rest}
        rest.sort(key=lambda place: -shares[place])
    return [*claim.cited, *rest][:n]


def without(text: str, spans: Sequence[Span], dropped: Collection[Span]) -> tuple[str, dict[Span, int]]:
    """The text without the dropped ones of its claims, and by how many characters each of the others moved.

    Of the gaps around what is left out the longest stays, so that paragraphs stay apart.
    """
    out, moved, before = "", dict[Span, int](), 0
    gaps: list[str] = []
    for span in spans:
        gaps.append(text[before : span[0]])
        before = span[1]
        if span not in dropped:
            out += max(gaps, key=len) if out else gaps[0]
            gaps.clear()
            moved[span] = len(out) - span[0]
            out += text[span[0] : span[1]]
    return out + (text[before:] if not gaps else ""), moved
