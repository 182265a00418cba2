"""Inner graphs and models for generators that ask on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from generators.llm.scripted import ScriptedLLM
from rag.core.types import (
    Answer,
    Citation,
    Completion,
    Context,
    Document,
    Prompt,
    Query,
    SamplingParams,
    ScoredDocument,
)


@dataclass
class Inner:
    """An inner graph that knows some answers, each from a passage of its own, and may have a budget of runs."""

    knows: dict[str, str]
    runs: int = 1000
    batches: list[list[Query]] = field(default_factory=list)

    @property
    def asked(self) -> list[list[str]]:
        """The questions of each batch."""
        return [[query.text for query in batch] for batch in self.batches]

    def run(self, queries: Sequence[Query]) -> list[Answer]:
        self.batches.append(list(queries))
        return [self._answer(query) for query in queries]

    def spent(self, query: Query) -> str:
        return "spent" if sum(map(len, self.batches)) >= self.runs else ""

    def _answer(self, query: Query) -> Answer:
        other, own = (_hit(f"{name} of {query.text}") for name in ("other", "own"))
        context = Context(query=query, passages=(other, own))
        if query.text not in self.knows:
            return Answer(query=query, text="I don't know.", context=context, status="no_answer")
        text = f"{self.knows[query.text]} [2]"
        cited = Citation(marker=2, doc_id=own.doc_id, start=len(text) - 3, end=len(text))
        return Answer(query=query, text=text, context=context, citations=(cited,))


def _hit(doc_id: str) -> ScoredDocument:
    return ScoredDocument(document=Document(doc_id=doc_id, text=f"The text of {doc_id}."), score=1.0)


class Noting(ScriptedLLM):
    """A scripted model that notes what it reads."""

    def __init__(self, replies: Sequence[str]) -> None:
        super().__init__(replies=tuple(replies))
        self.read: list[str] = []

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        self.read += [prompt[-1].content for prompt in prompts]
        return super().complete(prompts, params)
