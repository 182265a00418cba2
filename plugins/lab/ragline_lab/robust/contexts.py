"""Contexts: which of a question's documents a writer is given. The settings of RAGuard, for a set whose documents have kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.types import Query
from ragline_lab.robust.questions import KIND, KINDS, QUESTION, Kind, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextKind:
    """Documents of the kinds that it `gives`, to questions that have one of each kind that it `needs`."""

    gives: tuple[Kind, ...]
    needs: tuple[Kind, ...]
    words: str

    def is_of(self, question: Question) -> bool:
        """Whether a question can be asked so."""
        return all(map(question.has, self.needs))

    def given(self, question: Question) -> int:
        """How many documents it gives."""
        return sum(question.documents.get(kind, 0) for kind in self.gives)

    def query(self, question: Question) -> Query:
        """The question, which sees these documents and no others."""
        where: dict[str, Any] | None = {QUESTION: question.qid, KIND: list(self.gives)} if self.gives else None
        return Query(qid=question.qid, text=question.text, where=where)


ZERO = "zero"
CONTEXTS: Mapping[str, ContextKind] = {
    ZERO: ContextKind(gives=(), needs=(), words="no documents: what the model knows"),
    "right": ContextKind(gives=("right",), needs=("right",), words="the right documents alone"),
    "misleading": ContextKind(gives=("misleading",), needs=("misleading",), words="the misleading documents alone"),
    "irrelevant": ContextKind(gives=("noise",), needs=("noise",), words="documents that say nothing of it"),
    "mixed": ContextKind(
        gives=KINDS, needs=("right", "misleading"), words="all documents, right and misleading among them"
    ),
}
"""By name, in the order of the report."""
