"""Notes: questions that an inner graph answered on the way to an answer, and the passages that they rest on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

from rag.types import NO_USAGE, Answer, Context, Outcome, Query, ScoredDocument, Usage
from rag.writing import MARKER, CitedGenerator

NOT_FOUND = "Nothing was found."
_NUMBER = re.compile(r"\d+")


@dataclass(slots=True, kw_only=True)
class Notes:
    """What is known on the way to one answer. `evidence`: the passages that notes rest on, by doc_id, in order of number."""

    query: Query
    notes: list[str] = field(default_factory=list)
    evidence: dict[str, ScoredDocument] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    usage: Usage = NO_USAGE

    @property
    def text(self) -> str:
        """All notes, one after another."""
        return "\n\n".join(self.notes)

    @property
    def context(self) -> Context:
        """The passages that the notes rest on."""
        return Context(query=self.query, passages=tuple(self.evidence.values()))

    def inner(self, text: str) -> Query:
        """A question on the way: under the filter of the query, and without what was said or searched before."""
        return Query(qid=self.query.qid, text=text, where=self.query.where, within=self.query.within)

    def add(self, question: str, answer: Answer) -> None:
        """Note an answer, its markers by the numbers of all passages that notes rest on.

        An answer that cites nothing rests on all that it was written from.
        """
        self.counts["asked"] += 1
        if answer.status != "answered":
            self.counts["unanswered"] += 1
            self.notes.append(f"Question: {question}\nAnswer: {NOT_FOUND}")
            return
        read = {hit.doc_id: hit for hit in answer.context.passages}
        for doc_id in dict.fromkeys(citation.doc_id for citation in answer.citations) or read:
            self.evidence.setdefault(doc_id, read[doc_id])
        numbers = {doc_id: number for number, doc_id in enumerate(self.evidence, start=1)}
        ours = [numbers.get(hit.doc_id) for hit in answer.context.passages]
        said = MARKER.sub(lambda marker: _renumbered(marker.group(), ours), answer.text)
        self.notes.append(f"Question: {question}\nAnswer: {said}")


class FromNotes(CitedGenerator):
    """`generate.cited` with notes in the place of the passages that they rest on, so that what is cited is a passage."""

    _texts: Mapping[str, str] = {}

    def answers(self, notes: Sequence[Notes]) -> list[Answer]:
        """One answer for each, in order, with what the notes cost and counted. No evidence is declined without a call."""
        writer = copy(self)
        writer._texts = {each.query.qid: each.text for each in notes}
        written = writer.generate([each.context for each in notes])
        return [_with_account(answer, each) for answer, each in zip(written, notes, strict=True)]

    def shown(self, context: Context) -> str:
        """The notes of a context."""
        return self._texts[context.qid]


def _with_account(answer: Answer, notes: Notes) -> Answer:
    counts = {**answer.outcome.counts, **{name: n for name, n in notes.counts.items() if n}}
    outcome = replace(answer.outcome, counts=counts)
    if notes.counts["unplanned"] and outcome.kind != "failed":
        detail = "the model planned no question of its own; the question itself was asked"
        outcome = Outcome(kind="fallback", detail=detail, counts=counts)
    return replace(answer, outcome=outcome, usage=answer.usage + notes.usage)


def _renumbered(marker: str, numbers: Sequence[int | None]) -> str:
    """A marker by other numbers, one for each passage that it could name; empty where none is left."""
    places = [int(number) - 1 for number in _NUMBER.findall(marker)]
    kept = [number for place in places if 0 <= place < len(numbers) and (number := numbers[place]) is not None]
    blank = marker[: len(marker) - len(marker.lstrip())]
    return f"{blank}[{', '.join(map(str, kept))}]" if kept else ""
