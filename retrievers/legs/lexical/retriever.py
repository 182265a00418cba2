"""Lexical first stage: BM25 over the lexical leg of an index."""

from __future__ import annotations

import gc
import logging
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.core.filters import Filter, WhereData, both, newest_of, readers_of
from rag.core.ranking import ranked, require_k
from rag.core.types import OK, Outcome, Population, Query, Ranking, ScoredDocument, ScorePart
from rag.core.versions import VersionsData
from rag.core.words import first_of, meant_line
from retrievers.by_filter import by_filter
from retrievers.index_protocol import Index
from retrievers.legs.lexical.near_words import (
    Near,
    as_written,
    near_terms,
    near_weighed_down,
    weighed_down,
    with_near,
    words_of,
)
from retrievers.legs.lexical.search import LexicalSearch, lexical
from retrievers.stores.lru_cache import Kept

logger = logging.getLogger(__name__)

_FEW_TIES, _MOST_TIES = 16, 1000
"""Hits beyond the cut that are looked at for others of its score: at first, and where these do not suffice."""
_KEPT_TERMS = 100_000
_MOST_THREADS = 64
_SHOWN = 3
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class _Asked:
    """The terms of a question, with those near to words that no document has.

    `whole`: the same as if no word only held the question together. `held`: terms that do.
    """

    terms: Mapping[str, float]
    whole: Mapping[str, float]
    near: tuple[Near, ...] = ()
    held: frozenset[str] = frozenset()

    def near_to(self, term: str) -> str:
        """The question's own term that one is searched for: itself, or one that it is near to."""
        return next((each.term for each in self.near if each.near == term), term)


class BM25Retriever:
    """BM25 with the analyzer, variant and parameters that the index was built with (bm25s: arXiv:2407.03618).

    `Query.terms`, where a reformulator wrote some, is scored in place of the text. A query without a term
    that the index knows gives no hits, the outcome `empty` and its reason.

    A word of the text that no document has is searched as the words most like it: at least 4 letters, the first one right,
    one letter wrong or two that changed places; two such from 8 letters on. At most three share its weight, by how many
    documents have them. A word that is there, and one letter from one that is in 100 times as many documents, is searched
    beside that, and weighs more in any document. That goes for 32 words of a question; `Ranking.near` says which.

    Ties are in order of doc_id. At the cut this holds among up to 1,000 documents of equal score; of more
    than that, those first in the index are considered.

    Args:
        index: the index to search.
        leg: name of the leg that is searched, where the index has several of this kind.
        threads: processor threads that long batches may use, 1 to 64; never more than the machine has.
        where: a filter that holds beside the query's own: {"lang": "de"}, or text such as 'year >= 2020'.
        versions: `newest` leaves out what another document replaces, as its metadata `replaces` says; {key: name, date:
            released} what has the same `name` and was released before. Of what passes the filters.
        near: whether words near to misspelt ones are searched too.
        function_words: what a word that only holds the question together, such as "how do I", weighs where others are
            left: from 0 to 1, which is as much as any.
    """

    leg: str = "lexical"

    def __init__(
        self,
        *,
        index: Index,
        leg: str = leg,
        threads: int = 2,
        where: WhereData | None = None,
        versions: VersionsData = "all",
        near: bool = True,
        function_words: float = 0.3,
    ) -> None:
        self.leg = leg
        if not 1 <= threads <= _MOST_THREADS:
            raise ValueError(f"retrieve.bm25: threads must be from 1 to {_MOST_THREADS}, got {threads}")
        self._index, self._where = index, newest_of(versions, where)
        self._threads = min(threads, os.cpu_count() or 1)
        if not 0 <= function_words <= 1:
            raise ValueError(f"retrieve.bm25: function_words must be from 0 to 1, got {function_words}")
        self._near, self._function_words = near, function_words
        self._kept = Kept[_Asked](_KEPT_TERMS, lambda asked: len(asked.terms))

    def warm_up(self) -> None:
        """Open the leg and get its compiled code ready, which takes seconds: for thousands of questions."""
        lexical(self._index, self.leg).warm_up()

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order."""
        require_k(k, by="retrieve.bm25")
        if not queries:
            return []
        asked = [self._asked(query) for query in queries]
        rankings: list[Ranking | None] = [None] * len(queries)
        kinds: dict[int, str] = {}
        for where, members in by_filter(queries, self._where):
            hit_lists = self._search([asked[i].terms for i in members], k=k, where=where)
            for i, hits in zip(members, hit_lists, strict=True):
                near = self._told(queries[i], asked[i], hits)
                outcome = Outcome(detail=meant_line(near), counts={"near_words": len(near)}) if near else OK
                if not hits and (why := self._why_empty(queries[i], asked[i].terms, where)) is not None:
                    kinds[i], detail = why
                    outcome = Outcome(kind="empty", detail=detail)
                rankings[i] = Ranking(query=queries[i], hits=hits, source="bm25", outcome=outcome, near=near)
        results = [ranking for ranking in rankings if ranking is not None]
        _warn([(queries[i].qid, kind) for i, kind in sorted(kinds.items())], len(results))
        return results

    def matching(self, query: Query) -> NDArray[np.int64]:
        """Rows of all documents that the query has hits in, ascending: those that any k finds."""
        leg, where = lexical(self._index, self.leg), both(self._where, query.where)
        rows, _ = leg.search([self._asked(query).terms], k=max(1, leg.n_docs), where=where, threads=self._threads)
        return np.sort(rows[0][rows[0] >= 0]).astype(np.int64)

    def scores(self, queries: Sequence[Query], doc_ids: Sequence[Sequence[str]]) -> list[list[float | None]]:
        """For each query the BM25 scores of its documents, in order; of one without a term of it too.

        None where words say nothing: of a document without one, in another language than the query.

        Raises:
            KeyError: a document is of another index.
        """
        leg, found = lexical(self._index, self.leg), list[list[float | None]]()
        for query, ids in zip(queries, doc_ids, strict=True):
            rows, where = np.array(self._index.documents.rows_many(ids), dtype=np.int64), both(self._where, query.where)
            scores = leg.scores(self._asked(query).terms, rows, where=where).tolist() if ids else []
            found.append([None if math.isnan(score) else score for score in scores])
        return found

    def populations(self, queries: Sequence[Query]) -> list[Population | None]:
        """For each query what its scores come to over all documents that whoever asks may read; None on a server.

        Function words count in full for it. They are what most documents have: without them any other word would lie so far
        from the mean that a fusion took it for an answer.
        """
        leg = lexical(self._index, self.leg)
        return [leg.population(self._asked(query).whole, where=both(self._where, query.where)) for query in queries]

    def explain_hits(self, query: Query, hits: Sequence[ScoredDocument]) -> list[list[ScorePart]]:
        """For each hit what each term of the query adds to its score. By bm25l and bm25+ terms that it lacks add too.

        Raises:
            KeyError: a hit is of another index.
        """
        asked = self._asked(query)
        rows = [self._index.documents.row(hit.doc_id) for hit in hits]
        return [self._parts(asked, row, both(self._where, query.where)) for row in rows]

    def _parts(self, asked: _Asked, row: int, where: Filter | None) -> list[ScorePart]:
        terms = {term: weight for term, weight in asked.terms.items() if weight}
        parts = [
            ScorePart(
                of_query=asked.near_to(term),
                of_document=term if there else "",
                score=terms[term] * impact,
                how=_how(terms[term], impact, held=term in asked.held),
            )
            for term, impact, there in lexical(self._index, self.leg).impacts(terms, row, where=where)
        ]
        return sorted(parts, key=lambda part: (-part.score, part.of_query))

    def _asked(self, query: Query) -> _Asked:
        """That of the last questions is kept: what was searched with is scored with next."""
        if query.terms:
            return _Asked(query.terms, query.terms)
        where = readers_of(both(self._where, query.where))
        return self._kept.get((query.text, where), lambda: self._analysed(query.text, where))

    def _analysed(self, text: str, where: Filter | None) -> _Asked:
        leg = lexical(self._index, self.leg)
        whole = Counter(leg.analyzer.terms(text))
        weighed, held = weighed_down(leg.analyzer, text, whole, to=self._function_words)
        near = near_terms(leg, text, whole, where=where) if self._near else []
        light = near_weighed_down(leg.analyzer, text, near, to=self._function_words)
        return _Asked(with_near(weighed, light), with_near(whole, near), tuple(near), held)

    def _told(self, query: Query, asked: _Asked, hits: Sequence[ScoredDocument]) -> Mapping[str, tuple[str, ...]]:
        """What was searched for words as the user typed them; what a reformulator wrote is nobody's mistake."""
        typed = words_of(query.asked) if asked.near else ()
        near = [each for each in asked.near if each.word in typed]
        if not near:
            return {}
        leg, readers = lexical(self._index, self.leg), readers_of(both(self._where, query.where))
        rows, _ = leg.search([{each.near: 1.0} for each in near], k=1, where=readers)
        having = self._index.documents.many(rows[rows >= 0].tolist())
        texts = [hit.document.full_text for hit in hits]
        return as_written(near, texts, leg, having=[document.full_text for document in having])

    def _search(
        self, terms: Sequence[Mapping[str, float]], *, k: int, where: Filter | None
    ) -> list[tuple[ScoredDocument, ...]]:
        leg = lexical(self._index, self.leg)
        k = max(1, min(k, leg.n_docs))
        rows, scores = leg.search(terms, k=k + _FEW_TIES, where=where, threads=self._threads)
        each = zip(terms, rows, scores, strict=True)
        collects = gc.isenabled()
        gc.disable()  # each thousand of hits would have all that are held looked through, a third of the time of a batch
        try:
            return [self._hits(leg, query, *found, k=k, where=where) for query, *found in each]
        finally:
            if collects:
                gc.enable()

    def _hits(
        self,
        leg: LexicalSearch,
        query: Mapping[str, float],
        rows: NDArray[np.int32],
        scores: NDArray[np.float32],
        *,
        k: int,
        where: Filter | None,
    ) -> tuple[ScoredDocument, ...]:
        """The best k of rows in order of score, more than k where the cut may be among equals; these by doc_id."""
        if rows[-1] >= 0 and scores[-1] == scores[k - 1]:  # how many there are of them is not seen
            (rows,), (scores,) = leg.search([query], k=k + _MOST_TIES, where=where)
        n = np.count_nonzero(rows >= 0)
        if n > k:
            n = np.count_nonzero(scores[:n] >= scores[k - 1])
        values = scores[:n].tolist()
        documents = self._index.documents.many(rows[:n].tolist())
        hits = [ScoredDocument(document=d, score=score) for d, score in zip(documents, values, strict=True)]
        return ranked(hits, k=k) if len(set(values)) < n else tuple(hits)

    def _why_empty(self, query: Query, terms: Mapping[str, float], where: Filter | None) -> tuple[str, str] | None:
        """Why no document can be a hit, in words for a log and in full; None where the filter took those that could.

        What is told in full quotes the question, which is the user's business and no log's.
        """
        leg = lexical(self._index, self.leg)
        if not terms:
            return "it has no terms", leg.analyzer.why_no_terms(query.text)
        if where is not None and not len(self._index.rows(where)):
            return "no document passes the filter", "no document passes the filter"
        if any(leg.knows(term, where=where) for term in terms):
            return None
        shown = first_of([repr(term[:_SHOWN_CHARACTERS]) for term in terms], _SHOWN)
        scripts = _foreign_scripts("".join(list(terms)[:100]))
        written = f"; it is written in {', '.join(scripts)} characters" if scripts else ""
        language = leg.analyzer.language
        analysed = f"analysed as '{language}'{written}"
        missing = "no document has any of its terms"
        return f"{missing}, {analysed}", f"{missing} ({shown}), {analysed}"


def _how(weight: float, impact: float, *, held: bool) -> str:
    """How a term's part of a score came about, in words; nothing where it is just the term's."""
    said = f"{weight:.3g} x {impact:.4g}" if weight != 1 else ""
    return f"{said}, a function word" if held and said else said


def _foreign_scripts(text: str) -> list[str]:
    """First words of the Unicode names of letters outside Latin: CJK, CYRILLIC, THAI."""
    names = {unicodedata.name(c, "").partition(" ")[0] for c in text[:1000] if c.isalpha() and not c.isascii()}
    return sorted(names - {"", "LATIN", "MODIFIER"})


def _warn(empty: Sequence[tuple[str, str]], n_queries: int) -> None:
    """`empty`: qids, and why in words that do not quote the question."""
    if empty:
        qid, kind = empty[0]
        said = "retrieve.bm25: %d of %d queries can have no hits; first: qid %r: %s"
        logger.warning(said, len(empty), n_queries, qid, kind)
