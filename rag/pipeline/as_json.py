"""Records as plain data: the one documented JSON form of a search, an answer and a run's ledger (docs/reference/json.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rag.core.content_forms import shown
from rag.core.contents import Content
from rag.core.filters import AllOf, Filter, as_mapping, as_text, conditions
from rag.core.picked import picked_of
from rag.core.report import Failure, RunResult
from rag.core.snippets import Snippet, Terms
from rag.core.types import Answer, Citation, Document, Outcome, Ranking, ScoredDocument, Verdict
from rag.pipeline.snippets import snippet_of

POSITION = ("index_name", "source", "page", "ocr", "headings", "start", "end")


def hit_json(hit: ScoredDocument, rank: int) -> dict[str, Any]:
    """One hit: rank from 1, score, text, and where the text stands in its source."""
    document = hit.document
    return {
        "rank": rank,
        "doc_id": document.doc_id,
        "score": hit.score,
        **({} if hit.relevance is None else {"relevance": hit.relevance}),
        "title": document.title,
        "text": document.text,
        "position": position_json(document),
        **duplicates_json(document),
        **picked_json(document),
        **contents_json(document.contents),
    }


def hits_json(ranking: Ranking, terms: Terms | None = None) -> list[dict[str, Any]]:
    """The hits of a query; with `terms` (`rag.pipeline.snippets.terms_of`) the sentence that matches beside each."""
    hits = [hit_json(hit, rank) for rank, hit in enumerate(ranking.hits, start=1)]
    if terms is not None:
        for hit, described in zip(ranking.hits, hits, strict=True):
            described["snippet"] = snippet_json(snippet_of(hit.document, ranking.query, terms))
    return hits


def snippet_json(snippet: Snippet) -> dict[str, Any]:
    """Its text, and the spans of it that are words of the query."""
    return {"text": snippet.text, "marks": [{"start": start, "end": end} for start, end in snippet.marks]}


def contents_json(contents: Sequence[Content]) -> dict[str, Any]:
    """The field `contents`; none where there is text alone."""
    return {"contents": [dict(shown(content)) for content in contents]} if contents else {}


def duplicates_json(document: Document) -> dict[str, Any]:
    """The field `duplicates`, where `rerank.distinct` folded others into this one."""
    others = document.metadata.get("duplicates")
    return {"duplicates": others} if isinstance(others, int) else {}


def picked_json(document: Document) -> dict[str, Any]:
    """The field `spans`, where a node picked stretches of this text out."""
    spans = picked_of(document)
    return {"spans": spans} if spans else {}


def position_json(document: Document) -> dict[str, Any]:
    """What is known of where a passage stands in its source."""
    return {key: document.metadata[key] for key in POSITION if key in document.metadata}


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """What became of the work."""
    return {"kind": outcome.kind, "detail": outcome.detail, "counts": dict(outcome.counts)}


def near_json(near: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The field `near`, where words were searched in place of others."""
    return {"near": {word: [*words] for word, words in near.items()}} if near else {}


def read_json(read: Sequence[Filter]) -> dict[str, Any]:
    """The list `read`, where filters were read from the question: of each field the filter, as text and as data."""
    fields: dict[str, Filter] = {}
    for part, key in ((part, next(conditions(part)).key) for part in read):
        fields[key] = AllOf((fields[key], part)) if key in fields else part
    told = [{"field": name, "text": as_text(one), "where": as_mapping(one)} for name, one in fields.items()]
    return {"read": told} if told else {}


def ranking_json(ranking: Ranking, terms: Terms | None = None) -> dict[str, Any]:
    """A query and its hits. See `hits_json`."""
    return {
        "qid": ranking.qid,
        "query": ranking.query.asked,
        "hits": hits_json(ranking, terms),
        **near_json(ranking.near),
        "outcome": outcome_json(ranking.outcome),
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """A question, its answer, citations and verdicts, and every passage with how it is cited (`model`, `attribution`, null)."""
    cited = cited_by(answer)
    return {
        "qid": answer.qid,
        "question": answer.query.asked,
        "answer": answer.text,
        "status": answer.status,
        "confidence": answer.confidence,
        "finish_reason": answer.finish_reason,
        "citations": list(map(citation_json, answer.citations)),
        "verdicts": list(map(verdict_json, answer.verdicts)),
        "passages": [
            {"marker": i, "cited_by": cited.get(i), **hit_json(hit, i)}
            for i, hit in enumerate(answer.context.passages, start=1)
        ],
        "outcome": outcome_json(answer.outcome),
    }


def citation_json(citation: Citation) -> dict[str, Any]:
    """One pointer from an answer to a passage."""
    return asdict(citation)


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """What a check says of one sentence."""
    return asdict(verdict)


def cited_by(answer: Answer) -> Mapping[int, str]:
    """Marker -> who cites it; the model's word counts before an attribution."""
    by_marker: dict[int, str] = {}
    for citation in sorted(answer.citations, key=lambda c: c.by == "model"):
        by_marker[citation.marker] = citation.by
    return by_marker


def ledger_json(result: RunResult) -> dict[str, Any]:
    """What a run cost and where items failed."""
    return {
        "seconds": round(result.seconds, 4),
        "nodes": [report.as_dict() for report in result.nodes],
        "failures": failures_json(result.failures),
    }


def failures_json(failures: Sequence[Failure]) -> list[dict[str, str]]:
    """Failed items: qid, node, component, cause."""
    return [{"qid": f.qid, "node": f.node, "use": f.use, "error": f.error} for f in failures]
