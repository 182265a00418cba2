"""Small components for graph tests: real ones of our protocols, that need no index and no weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Barrier

from rag.core.node import BoundNode
from rag.core.protocols import LLM, LocalLLM, ScoringLLM
from rag.core.ranking import ranked
from rag.core.types import Document, Outcome, Query, Ranking, ScoredDocument, Usage

CORPUS = tuple(Document(doc_id=f"d{i}", text=f"text {i}") for i in range(1, 9))

MEETING = Barrier(2, timeout=60)


class FixedRetriever:
    """Gives the same documents to every query.

    Args:
        first: number of the first document.
        meets: it waits at MEETING for another that is at work, and fails where none comes.
    """

    def __init__(self, *, first: int = 1, meets: bool = False) -> None:
        self.first, self.meets = first, meets
        self.batches: list[int] = []

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        self.batches.append(len(queries))
        if self.meets:
            MEETING.wait()
        hits = [ScoredDocument(document=d, score=float(-i)) for i, d in enumerate(CORPUS[self.first - 1 :])]
        return [Ranking(query=q, hits=ranked(hits, k=k), usage=Usage(calls=1)) for q in queries]


class TwoVariants:
    """Writes two variants of every query."""

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        return [v for q in queries for v in (q, replace(q, text=f"{q.text} again", original=q.text))]


class BadWords:
    """Raises on a query that says bad, alone or in a batch."""

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        if any("bad" in r.query.text for r in rankings):
            raise RuntimeError("cannot rank this")
        return [replace(r, hits=r.hits[:k], outcome=Outcome(kind="repaired", counts={"mended": 2})) for r in rankings]


class NeedsLLM:
    """Takes a model.

    Args:
        llm: any model.
        window: how many at once.
    """

    def __init__(self, *, llm: LLM, window: int = 20) -> None:
        if window < 2:
            raise ValueError(f"window must be at least 2, got {window}")
        self.llm, self.window = llm, window

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        return [replace(r, hits=r.hits[:k]) for r in rankings]


class NeedsScores:
    """Takes a model that scores."""

    def __init__(self, *, llm: ScoringLLM) -> None:
        self.llm = llm

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        return [replace(r, hits=r.hits[:k]) for r in rankings]


class NeedsWeights(NeedsScores):
    """Takes a model in this process."""

    def __init__(self, *, llm: LocalLLM) -> None:
        self.llm = llm


def node(
    name: str,
    work: Callable[..., list[object]],
    *,
    inputs: tuple[str, ...] = ("query",),
    use: str = "rerank.x",
    k: int | None = None,
) -> BoundNode:
    """A node around a bare function."""
    return BoundNode(
        name=name,
        source=name,
        use=use,
        stage=use.partition(".")[0],
        inputs=inputs,
        work=work,
        gathers=use.startswith("fuse."),
        k=k,
    )
