"""A teacher where nobody judged: all legs of an index together, and a second encoder if one is named.

Each leg finds candidates, and each scores those of all others. Scores are standardised over a question's candidates and
weighed as the built-in hybrid does, words with .3 and the other legs with the rest, evenly. A second encoder has half, as in
`rerank.cosine`. What no single leg knows, such as another encoder's opinion, is what a student can learn.

A question that was taken out of its passage is still in the passage that the legs hold. They would give that passage nearly
all of the shares, and the teacher would say nothing of the others. So the second encoder reads the passage without the
question, and what it says stands for the legs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexMismatch, SpecError
from rag.filters import Filter
from rag.indexes import Index, SentenceEncoder
from rag.protocols import Retriever, ScoresDocuments
from rag.types import Document, Query
from rag.writing import standardised
from ragline_train.pseudo import Case, bare
from ragline_train.taught import LEXICAL, shares
from ragline_train.teaching.questions import Asked
from retrievers import RETRIEVERS

Scores = NDArray[np.float64]
_SECOND = 0.5
"""Share of the second encoder, as `rerank.cosine` has it."""
_SEARCHES = {"lexical": "bm25", "dense": "dense", "sparse": "sparse", "late_interaction": "late_interaction"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """What grades candidates.

    Args:
        index: its legs find candidates and score them.
        where: what all texts have to pass, such as that somebody may read them.
        second: another encoder, by a packaged name, a folder or a hub id.
        depth: hits of each leg.
        width: candidates of a question, the legs' hits in turn.
    """

    index: Index
    where: Filter | None = None
    second: str | None = None
    depth: int = 20
    width: int = 24

    def __post_init__(self) -> None:
        if not self._legs:
            raise IndexMismatch(f"index '{self.index.name}' has no leg that a teacher can ask: {', '.join(_SEARCHES)}")
        if self.depth < 1 or self.width < 2:
            raise ValueError(f"teacher: depth is at least 1 and width at least 2, got {self.depth} and {self.width}")

    @property
    def _legs(self) -> dict[str, str]:
        return {leg: name for leg, name in _SEARCHES.items() if leg in self.index.legs}

    @property
    def name(self) -> str:
        """What a card says of it."""
        legs = " + ".join(self._legs)
        return f"{legs} of the index" + (f", half of {self.second}" if self.second else "")

    def cases(self, asked: Sequence[Asked]) -> list[Case]:
        """A case for every question that has two candidates or more, with the teacher's shares as grades.

        Where a question was taken out of its passage, or written for it, candidates stand without titles, and that passage
        without the question.

        Raises:
            SpecError: a score is not a number.
        """
        queries = [Query(qid=str(number), text=one.text, where=self.where) for number, one in enumerate(asked)]
        retrievers = {leg: RETRIEVERS.get(name)(index=self.index) for leg, name in self._legs.items()}
        pools = self._pools(queries, asked, [*retrievers.values()])
        shown = [_shown(pool, one) for pool, one in zip(pools, asked, strict=True)]
        leaks = [_leak(pool, one) for pool, one in zip(pools, asked, strict=True)]
        firsts = self._by_legs(queries, pools, retrievers, leaks)
        seconds: Sequence[Scores | None] = [None] * len(pools)
        if self.second is not None:
            seconds = _cosines(SentenceEncoder(model=self.second), queries, shown)
        cases = []
        for one, texts, leg_scores, second, leak in zip(asked, shown, firsts, seconds, leaks, strict=True):
            if len(texts) < 2:
                continue
            first, scores = _together(leg_scores, second, leak)
            if not np.all(np.isfinite(scores)):
                raise SpecError(f"the teacher ({self.name}) gives a score that is no number to '{one.text[:60]}'")
            source = texts[int(scores.argmax())] if one.source is None else one.source
            cases.append(
                Case(
                    query=one.text,
                    candidates=tuple(texts),
                    grades=tuple(_grades(one, texts, scores).tolist()),
                    first=tuple(first.tolist()),
                    taught=True,
                    origin=one.origin,
                    source=source.doc_id,
                )
            )
        return cases

    def _pools(
        self, queries: Sequence[Query], asked: Sequence[Asked], retrievers: Sequence[Retriever]
    ) -> list[list[Document]]:
        """Of each question its own passage, and then the legs' hits in turn."""
        lists = [retriever.retrieve(queries, k=self.depth) for retriever in retrievers]
        row = self.index.documents.row
        pools = []
        for one, *rankings in zip(asked, *lists, strict=True):
            turns = chain.from_iterable(zip_longest(*([hit.document for hit in each.hits] for each in rankings)))
            pool: dict[str, Document] = (
                {} if one.source is None else {one.source.doc_id: self.index.documents[row(one.source.doc_id)]}
            )
            for document in turns:
                if document is not None and len(pool) < self.width:
                    pool.setdefault(document.doc_id, document)
            pools.append([*pool.values()])
        return pools

    def _by_legs(
        self,
        queries: Sequence[Query],
        pools: Sequence[Sequence[Document]],
        retrievers: dict[str, Retriever],
        leaks: Sequence[int | None],
    ) -> list[Scores]:
        """What all legs say of each candidate together, standardised over those that do not hold the question."""
        doc_ids = [[each.doc_id for each in pool] for pool in pools]
        others = [leg for leg in retrievers if leg != "lexical"]
        weights = {leg: (1 - LEXICAL) / len(others) for leg in others} | {"lexical": LEXICAL if others else 1.0}
        sums: list[Scores] = [np.zeros(len(pool)) for pool in pools]
        for leg, retriever in retrievers.items():
            for place, scores in enumerate(cast(ScoresDocuments, retriever).scores(queries, doc_ids)):
                sums[place] += weights[leg] * _apart(_known(scores), leaks[place])
        return [_apart(each, leak) for each, leak in zip(sums, leaks, strict=True)]


def _apart(scores: Scores, leak: int | None) -> Scores:
    """Standardised over all but the passage that holds the question, which gets as much as the best of the others."""
    if leak is None or len(scores) < 2:
        return standardised(scores)
    rest = standardised(np.delete(scores, leak))
    return np.insert(rest, leak, rest.max())


def _together(first: Scores, second: Scores | None, leak: int | None) -> tuple[Scores, Scores]:
    """What the legs say, and the whole teacher: of a passage that holds the question the second encoder speaks for the legs."""
    if second is None:
        return first, first
    read = standardised(second)
    if leak is not None:
        first = first.copy()
        first[leak] = read[leak]
    first = standardised(first)
    return first, (1 - _SECOND) * first + _SECOND * read


def _grades(one: Asked, pool: Sequence[Document], scores: Scores) -> Scores:
    """The teacher's shares; of a judged question half of all is its passage's, whatever the legs say."""
    if one.origin != "judged" or one.source is None:
        return shares(scores)
    right = np.array([float(each.doc_id == one.source.doc_id) for each in pool])
    result: Scores = 0.5 * right + 0.5 * shares(scores)
    return result


def _known(scores: Sequence[float | None]) -> Scores:
    """Scores, and for one that cannot be had the least of the others."""
    least = min((score for score in scores if score is not None), default=0.0)
    return np.array([least if score is None else score for score in scores], dtype=np.float64)


def _cosines(encoder: SentenceEncoder, queries: Sequence[Query], pools: Sequence[Sequence[Document]]) -> list[Scores]:
    texts = list(dict.fromkeys(each.index_text for pool in pools for each in pool))
    vectors = dict(zip(texts, encoder.encode(texts, role="document"), strict=True))
    asked = encoder.encode([query.text for query in queries], role="query")
    return [
        np.array([vectors[each.index_text] @ query for each in pool], dtype=np.float64)
        for query, pool in zip(asked, pools, strict=True)
    ]


def _shown(pool: Sequence[Document], asked: Asked) -> list[Document]:
    """Candidates as they teach: without titles, and the passage without the question, where it was taken out of it."""
    source = asked.source
    if source is None or asked.origin == "judged":
        return list(pool)
    return [source if each.doc_id == source.doc_id else bare(each) for each in pool]


def _leak(pool: Sequence[Document], asked: Asked) -> int | None:
    """Place of the passage that the legs hold with the question in it; None where there is none, as where a model wrote it."""
    if asked.source is None or asked.origin in ("judged", "written"):
        return None
    return [each.doc_id for each in pool].index(asked.source.doc_id)


def contrasted(case: Case, *, least: float = 0.95) -> Case | None:
    """The case with its source alone as relevant; None where no negative is left.

    A candidate that the teacher gives nearly as much as the source, or more, may answer the question as well: it is no
    negative, and goes (the positive-aware filter of NV-Retriever, arXiv 2407.15831, which recommends .95).

    Args:
        least: share of the source's grade from which a candidate is no negative.
    """
    grades = dict(zip((each.doc_id for each in case.candidates), case.grades, strict=True))
    if case.source not in grades:
        return None
    kept = [
        each
        for each in case.candidates
        if each.doc_id == case.source or grades[each.doc_id] < least * grades[case.source]
    ]
    if len(kept) < 2:
        return None
    relevant = tuple(float(each.doc_id == case.source) for each in kept)
    return replace(case, candidates=tuple(kept), grades=relevant, taught=False)
