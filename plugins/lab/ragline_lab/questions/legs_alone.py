"""The legs of an index, each asked alone: does any of them find the passage that a question is about?"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from itertools import zip_longest
from typing import Any

from rag.errors import SpecError
from rag.indexes import Index
from rag.protocols import Retriever, SearchesLeg
from rag.types import Document, Query
from retrievers import RETRIEVERS


def searchers() -> dict[str, type[Any]]:
    """Leg -> the retriever that searches it and needs nothing beside the index; of several the first by name."""
    found: dict[str, type[Any]] = {}
    for name in RETRIEVERS:
        retriever = RETRIEVERS.get(name)
        needs = {param.name for param in signature(retriever).parameters.values() if param.default is param.empty}
        leg = _leg(retriever)
        if leg is not None and needs == {"index"}:
            found.setdefault(leg, retriever)
    return found


def _leg(retriever: Any) -> str | None:
    return retriever.leg if isinstance(retriever, SearchesLeg) else None


class Legs:
    """All legs of an index that a question alone can be asked of.

    Raises:
        SpecError: it has none.
    """

    def __init__(self, index: Index) -> None:
        known = searchers()
        self._retrievers: dict[str, Retriever] = {leg: known[leg](index=index) for leg in index.legs if leg in known}
        if not self._retrievers:
            raise SpecError(
                f"index '{index.name}' has no leg that finds passages for a question: its legs are {', '.join(index.legs)}. "
                "Build it with a lexical or dense leg"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._retrievers)

    def ranks(self, questions: Sequence[str], doc_ids: Sequence[str], *, depth: int) -> list[dict[str, int]]:
        """For each question, leg -> rank of its passage from 1; legs that do not find it by `depth` are not in it."""
        ranks: list[dict[str, int]] = [{} for _ in questions]
        for leg, retriever in self._retrievers.items():
            for place, ranking in enumerate(retriever.retrieve(_queries(questions), k=depth)):
                if doc_ids[place] in ranking.doc_ids:
                    ranks[place][leg] = ranking.doc_ids.index(doc_ids[place]) + 1
        return ranks

    def best(self, questions: Sequence[str], *, k: int) -> list[list[Document]]:
        """For each question the first `k` passages of every leg, each once, the legs in turns."""
        by_leg = [each.retrieve(_queries(questions), k=k) for each in self._retrievers.values()]
        found = []
        for rankings in zip(*by_leg, strict=True):
            hits = [hit for rank in zip_longest(*rankings) for hit in rank if hit is not None]
            found.append(list({hit.doc_id: hit.document for hit in hits}.values()))
        return found


def _queries(questions: Sequence[str]) -> list[Query]:
    return [Query(qid=str(place), text=question) for place, question in enumerate(questions)]
