"""The `ragline` object of responses: what the answer was made from, and what each stage did (docs/serve.md).

And where a passage can be read in a browser: at the web address that its document names, and on this server's page. The texts of
a corpus are anybody's, so an address in them is looked at before a browser is sent there. No path of this machine becomes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from rag.doors import citation_json, claim_of, hit_json, near_json, outcome_json, read_json, support, verdict_json
from rag.graphs import Graph, RunResult
from rag.tracing import NodeReport
from rag.types import Answer, Document, Query, Ranking, ScoredDocument

SHOWN_HITS = 20
"""Hits of a stage that are shown."""


def sources_json(passages: Sequence[ScoredDocument]) -> list[dict[str, Any]]:
    """Passages by marker, which counts from 1."""
    sources = []
    for marker, hit in enumerate(passages, start=1):
        described = hit_json(hit, marker)
        del described["rank"]
        original = original_of(hit.document)
        where = {} if original is None else {"url": original}
        sources.append({"marker": marker, **where, **described})
    return sources


def passages_of(result: RunResult) -> tuple[ScoredDocument, ...]:
    """What the answer is, or would be, written from."""
    return () if result.context is None else result.context.passages


def begun_json(result: RunResult, graph: Graph, *, session: str | None, notes: Sequence[str]) -> dict[str, Any]:
    """What is known before the first token."""
    return {
        "sources": sources_json(passages_of(result)),
        "query": searched_with(result, graph),
        **near_json(result.near),
        **read_json(result.read),
        "session": session,
        "notes": list(notes),
    }


def whole_json(
    result: RunResult, graph: Graph, *, session: str | None, notes: Sequence[str], entry: str | None = None
) -> dict[str, Any]:
    """What is known when the answer is written."""
    answer: Answer = result.answers[0]
    return {
        **begun_json(result, graph, session=session, notes=notes),
        "citations": citations_json(answer, passages_of(result)),
        "verdicts": list(map(verdict_json, answer.verdicts)),
        "confidence": answer.confidence,
        "status": answer.status,
        "finish_reason": answer.finish_reason,
        "outcome": outcome_json(answer.outcome),
        "stages": stages_json(result, graph),
        "entry": entry,
    }


def citations_json(answer: Answer, passages: Sequence[ScoredDocument]) -> list[dict[str, Any]]:
    """Citations, each with the span of its passage's text that shares most words with what it is cited for."""
    find = cache(support)  # a model may say one marker many times
    citations = []
    for c in answer.citations:
        span = find(claim_of(answer.text, c), passages[c.marker - 1].document.text)
        where = None if span is None else {"start": span[0], "end": span[1]}
        citations.append({**citation_json(c), "support": where})
    return citations


def searched_with(result: RunResult, graph: Graph) -> str:
    """The question as the first reformulator wrote it, or as it was asked."""
    question = result.queries[0].asked
    for node in graph.nodes:
        if node.stage == "reformulate" and node.name in result.records:
            rewritten = [q.text for q in result.records[node.name] if isinstance(q, Query) and q.original is not None]
            return rewritten[-1] if rewritten else question
    return question


def stages_json(result: RunResult, graph: Graph) -> list[dict[str, Any]]:
    """One entry per node. `seconds` are those of the batch that the question went with."""
    return [_stage(report, result.records, graph) for report in result.nodes]


def _stage(report: NodeReport, records: Mapping[str, Sequence[Any]], graph: Graph) -> dict[str, Any]:
    usage = report.usage
    stage = {
        "name": report.name,
        "use": report.use,
        "seconds": round(report.seconds, 6),
        "batch": report.n_in,
        "outcomes": dict(report.outcomes),
        "counts": dict(report.counts),
        "usage": {
            "calls": usage.calls,
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "new_tokens": usage.new_tokens,
        },
    }
    outputs = records.get(report.name, ())
    if any(isinstance(record, Ranking) for record in outputs):
        inputs = [_joined(records.get(name, ())) for name in graph.node(report.name).inputs]
        stage["hits"] = [_hit(hit, rank, inputs) for rank, hit in enumerate(_joined(outputs)[:SHOWN_HITS], start=1)]
    return stage


def _hit(hit: ScoredDocument, rank: int, inputs: Sequence[Sequence[ScoredDocument]]) -> dict[str, Any]:
    before = [place for hits in inputs for place, one in enumerate(hits, start=1) if one.doc_id == hit.doc_id]
    return {
        "doc_id": hit.doc_id,
        "title": hit.document.title,
        "rank": rank,
        "score": hit.score,
        "from_rank": min(before, default=None),
    }


def _joined(records: Sequence[Any]) -> list[ScoredDocument]:
    """The hits of a question's rankings, those of several wordings interleaved, each document once."""
    rankings = [record.hits for record in records if isinstance(record, Ranking)]
    first: dict[str, ScoredDocument] = {}
    for position in range(max(map(len, rankings), default=0)):
        for hits in rankings:
            if position < len(hits):
                first.setdefault(hits[position].doc_id, hits[position])
    return list(first.values())


ORIGINAL = "url"
"""The metadata field that says where a document was taken from."""

_LONGEST = 2_000


def original_of(document: Document) -> str | None:
    """The web address of the original, where the document names one that a browser may be sent to."""
    named = document.metadata.get(ORIGINAL)
    return named if isinstance(named, str) and is_web_address(named) else None


def is_web_address(text: str) -> bool:
    """Whether a text is a whole address of the web that says where it leads: no name stands before the host in it.

    >>> [is_web_address(text) for text in ("https://example.org/a", "javascript:alert(1)", "https://good.org@bad.org")]
    [True, False, False]
    """
    if len(text) > _LONGEST or not text.isprintable() or set(" \\") & set(text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def page_link(page: str, document: Document, *, model: str) -> str:
    """Where the page of this server, at the address `page`, shows a passage to those who may read it.

    What stands behind # stays in the browser: the page asks for the passage itself, with the reader's key.
    """
    named = {"model": model, "passage": document.doc_id}
    return f"{page}#{urlencode(named, quote_via=quote, safe='', errors='replace')}"


def annotations_json(
    answer: Answer, passages: Sequence[ScoredDocument], *, page: str, model: str
) -> list[dict[str, Any]]:
    """What the model cites, as OpenAI's chats give it (`choices[].message.annotations`), in the order of the text.

    What was only matched by words is left out: this form cannot say that it is a guess.

    Args:
        page: the address of this server's page, where a passage is shown whose document names no web address.
    """
    annotations = []
    for citation in answer.citations:
        if citation.by != "model":
            continue
        document = passages[citation.marker - 1].document
        cited = {
            "start_index": citation.start,
            "end_index": citation.end,
            "url": original_of(document) or page_link(page, document, model=model),
            "title": document.title or document.doc_id,
        }
        annotations.append({"type": "url_citation", "url_citation": cited})
    return annotations
