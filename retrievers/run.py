"""A run file as first stage: what another system, or an earlier run of this one, found."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from rag.core.filters import WhereData, both, newest_of
from rag.core.inputs import input_file
from rag.core.ranking import ranked, require_k
from rag.core.trec import RunFile, read_run
from rag.core.types import OK, Outcome, Query, Ranking, ScoredDocument
from rag.core.versions import VersionsData
from retrievers.index_protocol import Index, is_labelled

log = logging.getLogger(__name__)


class RunRetriever:
    """The rankings of a TREC run file, with the documents of the index. Nothing is searched.

    A document of the run that is not a unit of the index is left out and counted; in an index of chunks, that
    is every document the run names whole. The query's metadata filter applies; its text does not.

    Args:
        run: path of the run file, plain or .gz; read at the first call.
        index: where the documents are.
        where: a filter that holds beside the query's own: {"lang": "de"}, or text such as 'year >= 2020'.
        versions: `newest` leaves out what another document replaces, as its metadata `replaces` says; {key: name, date:
            released} what has the same `name` and was released before. Of what passes the filters.
    """

    def __init__(
        self, *, run: str, index: Index, where: WhereData | None = None, versions: VersionsData = "all"
    ) -> None:
        self._path = input_file(run, what="run file", by="retrieve.run")
        self._index, self._where = index, newest_of(versions, where)
        self._run: RunFile | None = None
        self._lock = threading.Lock()

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, ties by doc_id. A query that the run lacks has no hits.

        Raises:
            ValueError: k is below 1.
            SpecError: a line of the run is malformed.
        """
        require_k(k, by="retrieve.run")
        rankings = [self._retrieve(query, k) for query in queries]
        if unknown := [r for r in rankings if r.outcome.counts.get("unknown_documents")]:
            log.warning(
                "retrieve.run: %d of %d queries name documents that are not in the index; first: qid '%s', %s",
                len(unknown),
                len(rankings),
                unknown[0].qid,
                unknown[0].outcome.detail,
            )
        return rankings

    def _retrieve(self, query: Query, k: int) -> Ranking:
        entries = self._loaded().get(query.qid)
        if entries is None:
            return Ranking(query=query, outcome=Outcome(kind="empty", detail="the run has no such qid"))
        documents, where = self._index.documents, both(self._where, query.where)
        unasked = where is None and not is_labelled(self._index)
        allowed = None if unasked else set(self._index.rows(where).tolist())
        hits: list[ScoredDocument] = []
        unknown: list[str] = []
        for doc_id, score in entries:
            if len(hits) == k:
                break
            try:
                row = documents.row(doc_id)
            except KeyError:
                unknown.append(doc_id)
                continue
            if allowed is None or row in allowed:
                hits.append(ScoredDocument(document=documents[row], score=score))
        return Ranking(query=query, hits=ranked(hits), outcome=_outcome(hits, unknown))

    def _loaded(self) -> RunFile:
        with self._lock:
            if self._run is None:
                self._run = read_run(self._path)
            return self._run


def _outcome(hits: Sequence[ScoredDocument], unknown: Sequence[str]) -> Outcome:
    if not unknown:
        return OK if hits else Outcome(kind="empty", detail="the run has no hit that the filter lets through")
    return Outcome(
        kind="repaired" if hits else "empty",
        detail=f"{len(unknown)} documents of the run are not units of the index, first '{unknown[0]}'",
        counts={"unknown_documents": len(unknown)},
    )
