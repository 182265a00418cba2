"""Query and what it found -> a weighted lexical query of both (pseudo-relevance feedback without a model)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rag.doors import code_of
from rag.indexes import Index, untagged
from rag.types import NO_USAGE, OK, Document, Outcome, Query, Ranking, Where
from rag.writing import require_positive, require_share, warn_of_queries

_PLAIN = re.compile(r"[^\W_]{2,20}")  # letters and digits, 2 to 20 of them


class RM3Reformulator:
    """Relevance model interpolated with the query (RM3: Abdul-Jaleel et al., TREC 2004; Anserini's defaults).

    Every feedback document gives its most frequent terms, scaled to sum to 1 and weighted by the document's score;
    the best of all together, scaled to sum to 1, are mixed with the terms of the query as it was before any other
    reformulator. The result is in `Query.terms`, which lexical legs score; dense legs see the plain query. Feedback
    scores are those of a BM25 leg, all above 0: hits that are not are left out, and a query without any usable hit
    stays as it was, outcome `fallback`.

    Args:
        index: the index whose analyzer makes the terms and which knows how common they are.
        documents: feedback documents, from the top.
        terms: terms kept of a document, and of all together.
        weight: share of the query as it came, from 0 to 1.
        max_df: a term of more than this share of its language's units is no feedback; 1 keeps all, as a tiny index needs.
    """

    one_per_query = True
    leg = "lexical"

    def __init__(
        self, *, index: Index, documents: int = 10, terms: int = 10, weight: float = 0.5, max_df: float = 0.1
    ) -> None:
        require_positive("reformulate.rm3", documents=documents, terms=terms)
        require_share("reformulate.rm3", weight=weight, max_df=max_df)
        self._index, self.documents, self.terms, self.weight, self.max_df = index, documents, terms, weight, max_df

    def reformulate(self, queries: Sequence[Query], feedback: Sequence[Ranking]) -> list[Query]:
        """One query per query, in order, with the weights in `terms`. `feedback`: what BM25 found for each."""
        expanded = [self._expanded(query, ranking) for query, ranking in zip(queries, feedback, strict=True)]
        warn_of_queries(expanded, by="reformulate.rm3")
        return expanded

    def _expanded(self, query: Query, ranking: Ranking) -> Query:
        query = replace(query, outcome=OK, usage=NO_USAGE)
        hits = [hit for hit in ranking.hits[: self.documents] if hit.score > 0]
        usable = [(self._best_of(hit.document, query.where), hit.score) for hit in hits]
        model = relevance_model([(terms, score) for terms, score in usable if terms], keep=self.terms)
        if not model:
            return replace(query, outcome=Outcome(kind="fallback", detail="no feedback document with usable terms"))
        return replace(query, original=query.asked, terms=mixed(self._plain(query), model, self.weight))

    def _plain(self, query: Query) -> Mapping[str, float]:
        """Terms of the query before any expansion. What was written about it may find feedback, but has no share."""
        if query.terms and query.original is None:
            return query.terms
        return Counter(self._index.leg(self.leg).analyzer.terms(query.root.text))

    def _best_of(self, document: Document, where: Where | None) -> dict[str, int]:
        """A document's most frequent terms that are neither odd nor common, ties in alphabetical order."""
        analyzer = self._index.leg(self.leg).analyzer
        counts = Counter(analyzer.document_terms(document.index_text, code_of(document.metadata)))
        best: dict[str, int] = {}
        for term, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            if len(best) == self.terms:
                break
            if _PLAIN.fullmatch(untagged(term)[1]) and not self._is_common(term, where):
                best[term] = count
        return best

    def _is_common(self, term: str, where: Where | None) -> bool:
        """Whether more than the allowed share of its language's units have the term, as far as whoever asks may know."""
        if self.max_df == 1:
            return False
        leg = self._index.leg(self.leg)
        return bool(leg.document_frequency(term, where=where) > int(self.max_df * leg.n_docs_of(term, where=where)))


def relevance_model(feedback: Sequence[tuple[Mapping[str, float], float]], *, keep: int) -> dict[str, float]:
    """(term counts, score) of each document -> the `keep` best terms, weights summing to 1; ties in alphabetical order.

    >>> relevance_model([({"a": 2, "c": 2}, 10.0), ({"c": 1, "d": 3}, 5.0)], keep=2)
    {'c': 0.5555555555555556, 'a': 0.4444444444444444}
    """
    model: dict[str, float] = {}
    for counts, score in feedback:
        length = sum(counts.values())
        for term, count in counts.items():
            model[term] = model.get(term, 0.0) + score * count / length
    best = sorted(model.items(), key=lambda pair: (-pair[1], pair[0]))[:keep]
    return scaled(dict(best))


def mixed(query: Mapping[str, float], model: Mapping[str, float], weight: float) -> dict[str, float]:
    """`weight` of the query's terms and the rest of the model's, both scaled to sum to 1."""
    own = scaled(query)
    terms = dict.fromkeys((*own, *model))
    both = {term: weight * own.get(term, 0.0) + (1 - weight) * model.get(term, 0.0) for term in terms}
    return {term: share for term, share in both.items() if share}


def scaled(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights divided by their sum; nothing where there is none."""
    total = sum(weights.values())
    return {term: weight / total for term, weight in weights.items()} if total else {}
