"""Feedback: the documents of a first ranking to learn from. The top, the judged ones, or those that a model picks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, get_args

import prompts
from rag.evaluate import Qrels, read_qrels
from rag.filters import scope_of
from rag.indexes import let_through
from rag.types import NO_USAGE, Document, Query, Ranking, SamplingParams, Usage
from rag.writing import (
    call_counts,
    first_words,
    in_one_line,
    input_file,
    require_one_of,
    require_positive,
    without_reasoning,
    write,
)
from ragline_recipes.reformulate.genqr import Resources

Source = Literal["pseudo", "oracle", "critic"]
_VERDICT_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class Learning(Resources):
    """Which documents are learned from.

    Args:
        source: pseudo takes the first hits, oracle the best judged documents of `qrels`, critic those hits that
            the model calls helpful.
        m: feedback documents.
        depth: hits that a critic judges, one call each, sent as one batch.
        qrels: path of a TREC qrels file, for the source `oracle`; results then show what is possible, no more.
        max_words: words of a document, title included, that are shown.
    """

    source: Source = "pseudo"
    m: int = 5
    depth: int = 10
    qrels: str | None = None
    max_words: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Documents that one query learns from, best first, and what choosing them cost.

    `verdicts`: calls of a critic; `unreadable`: those whose reply was neither yes nor no; `too_long`: not sent.
    """

    documents: tuple[Document, ...] = ()
    usage: Usage = NO_USAGE
    verdicts: int = 0
    unreadable: int = 0
    too_long: int = 0


class FeedbackSource:
    """Chooses at most `m` documents per query.

    pseudo: the first of the ranking. oracle: the best judged of the index, whatever the ranking holds; of one that
    is indexed in chunks, the chunk that the ranking has highest, else its first. critic: those among the first `depth`
    of the ranking that the model calls helpful; an unreadable verdict counts as no.
    """

    def __init__(self, options: Learning, *, by: str) -> None:
        require_one_of(by, get_args(Source), source=options.source)
        if (options.source == "oracle") != (options.qrels is not None):
            raise ValueError(f"{by}: qrels names the judgements of the source 'oracle', and of no other")
        require_positive(by, m=options.m, depth=options.depth, max_words=options.max_words)
        self._options, self._index = options, options.index
        self._path = None if options.qrels is None else input_file(options.qrels, what="qrels file", by=by)
        self._qrels: Qrels | None = None
        self._chunks: dict[str, int] | None = None
        self._critic = prompts.load("feedback_critic")

    def choose(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Feedback]:
        """One record per query, in order. A critic judges all queries' documents in one call."""
        if self._options.source == "critic":
            return self._picked(queries, rankings)
        if self._options.source == "oracle":
            return [Feedback(documents=self._judged(*pair)) for pair in zip(queries, rankings, strict=True)]
        return [Feedback(documents=_first(ranking, self._options.m)) for ranking in rankings]

    def _judged(self, query: Query, ranking: Ranking) -> tuple[Document, ...]:
        if self._qrels is None:
            assert self._path is not None  # which a judged source has
            self._qrels = read_qrels(self._path)
        judged = self._qrels.get(query.qid, {})
        best = sorted((doc_id for doc_id, grade in judged.items() if grade > 0), key=lambda i: (-judged[i], i))
        ranked_chunks = {hit.document.parent: hit.document for hit in reversed(ranking.hits)}  # the highest stays
        documents = (ranked_chunks.get(doc_id) or self._stored(doc_id, query) for doc_id in best)
        return tuple(islice((document for document in documents if document is not None), self._options.m))

    def _stored(self, doc_id: str, query: Query) -> Document | None:
        """A document of the index, or the first chunk of it; None for one that was judged and is not there to be read."""
        try:
            row = self._index.documents.row(doc_id)
        except KeyError:
            row = self._first_chunks().get(doc_id, -1)
        read = row >= 0 and let_through(self._index, [row], scope_of(query.where))
        return self._index.documents[row] if read else None

    def _first_chunks(self) -> Mapping[str, int]:
        """Document -> row of its first chunk. Reads the whole index once: judgements name documents, units are chunks."""
        if self._chunks is None:
            parents = [document.parent for document in self._index.documents]
            self._chunks = {parent: row for row, parent in reversed(list(enumerate(parents)))}
        return self._chunks

    def _picked(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Feedback]:
        shown = [_first(ranking, self._options.depth) for ranking in rankings]
        rendered = [
            [
                self._critic.render(
                    query=q.text, passage=in_one_line(first_words(d.full_text, self._options.max_words))
                )
                for d in documents
            ]
            for q, documents in zip(queries, shown, strict=True)
        ]
        # Every reply is kept, also an unreadable one, so that verdicts stay beside their documents.
        params = SamplingParams(max_tokens=_VERDICT_TOKENS)
        replies = write(self._options.llm, rendered, params, read=lambda text: without_reasoning(text) or " ")
        feedback = []
        for documents, written in zip(shown, replies, strict=True):
            # A prompt that was too long has no verdict; which one it was is not known, so none of them counts.
            verdicts = [parse_yes_no(text) for text in written.texts]
            pairs = zip(documents, verdicts, strict=True) if len(verdicts) == len(documents) else ()
            feedback.append(
                Feedback(
                    documents=tuple(document for document, yes in pairs if yes)[: self._options.m],
                    usage=written.usage,
                    verdicts=written.calls,
                    unreadable=sum(verdict is None for verdict in verdicts),
                    too_long=written.too_long,
                )
            )
        return feedback


def paid(query: Query, feedback: Feedback) -> Query:
    """The query with what choosing its feedback cost, and with what became of the critic's calls."""
    query = replace(query, usage=query.usage + feedback.usage)
    lost = feedback.unreadable + feedback.too_long
    if not feedback.verdicts and not lost:
        return query
    judged = call_counts(ok=feedback.verdicts - feedback.unreadable, fallback=feedback.unreadable)
    left_out = {"unreadable_verdicts": feedback.unreadable, "too_long": feedback.too_long}
    counts = Counter(query.outcome.counts)
    counts.update(judged | {name: n for name, n in left_out.items() if n})
    outcome = replace(query.outcome, counts=dict(counts))
    if lost and outcome.kind != "fallback":
        outcome = replace(outcome, kind="repaired", detail=outcome.detail or f"{lost} verdicts were neither yes nor no")
    return replace(query, outcome=outcome)


def _first(ranking: Ranking, n: int) -> tuple[Document, ...]:
    return tuple(hit.document for hit in ranking.hits[:n])


def parse_yes_no(text: str) -> bool | None:
    """Whether a verdict is yes or no: its first word of either kind, None where there is none.

    >>> [parse_yes_no(reply) for reply in ("**Yes**, it does.", "Answer: no", "perhaps")]
    [True, False, None]
    """
    said = re.search(r"\b(?:(yes)|no)\b", without_reasoning(text), re.IGNORECASE)
    return None if said is None else bool(said[1])
