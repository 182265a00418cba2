"""Documents of a search over plain words, weighed now by the model of the index's learned sparse leg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import ClassVar, Protocol, cast

from rag.indexes import Index
from rag.ranking import require_k
from rag.types import Ranking, Usage
from rag.writing import Recipe, Work, require_positive


class WeighsTerms(Protocol):
    """What is asked of a learned sparse leg."""

    def weigh(self, texts: Sequence[str], *, by: str) -> list[dict[int, float]]:
        """Terms and weights of queries."""
        ...

    def weigh_documents(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Terms and weights of documents, by the model."""
        ...


class WeighedTermsReranker:
    """The second half of VDR's beta search (Zhou et al., ICLR 2024, arXiv 2212.07699; the reference reranks 100 hits).

    An index with `sparse: {documents: words}` holds which words a document has, and no model has read it. This reads the
    hits: score(q, d) is the inner product of the query's weights and of those that the model gives the document, both the
    highest 768 and the words that are said. So a hit scores what it would in an index with `documents: model`. Every
    different text of a batch is read once. A text without a term scores 0.

    Args:
        index: the index whose sparse leg has the model.
        leg: name of that leg, where the index has several of this kind.
        depth: how many of a ranking's first hits are read; the others follow with falling scores. None: all.
    """

    leg: str = "sparse"
    recipe: ClassVar[Recipe] = Recipe(system="VDR", source="Zhou et al., ICLR 2024, arXiv 2212.07699")

    def __init__(self, *, index: Index, leg: str = leg, depth: int | None = 100) -> None:
        require_positive("rerank.weighed_terms", depth=depth)
        self.leg, self.depth, self._index = leg, depth, index

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Documents by the products of weights, at most `k`, best first."""
        require_k(k, by="rerank.weighed_terms")
        works = [Work.of(ranking, self.depth) for ranking in rankings]
        started, leg = perf_counter(), cast(WeighsTerms, self._index.leg(self.leg))
        queries = leg.weigh([work.ranking.query.text for work in works], by="model")
        texts = list(dict.fromkeys(document.index_text for work in works for document in work.documents))
        weighed = dict(zip(texts, leg.weigh_documents(texts), strict=True))
        for work in works:
            work.usage += Usage(seconds=(perf_counter() - started) / len(works))
        return [
            work.by_score([product(query, weighed[document.index_text]) for document in work.documents], k=k)
            for work, query in zip(works, queries, strict=True)
        ]


def product(query: Mapping[int, float], document: Mapping[int, float]) -> float:
    """The sum over shared terms.

    >>> product({1: 2.0, 4: 3.0}, {4: 0.5, 7: 9.0})
    1.5
    """
    return sum(weight * document[term] for term, weight in query.items() if term in document)
