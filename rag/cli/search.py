"""`rag search`."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from functools import reduce

from rag.cli.asking import question_of
from rag.cli.console import plain, say, say_json, warn
from rag.core.filters import both
from rag.core.report import RunResult
from rag.core.types import Document, Query
from rag.pipeline import load_pipeline, raise_failure
from rag.pipeline.as_json import ledger_json, ranking_json
from rag.pipeline.snippets import snippet_of, terms_of


def run(args: Namespace) -> int:
    """Print the ranking of one query."""
    where = reduce(both, args.where, None)
    with load_pipeline(args.graph, index=args.index, offline=args.offline) as pipeline:
        to = pipeline.graph.last_ranking()
        terms = terms_of(pipeline.index)
        result = pipeline.run([Query(qid="1", text=question_of(args.query), where=where)], to=to, k=args.k)
    raise_failure(result)
    ranking = result.rankings[0]
    if args.json:
        say_json({"graph": args.graph, "index": args.index, **ranking_json(ranking, terms), **ledger_json(result)})
        return 0
    for report in result.nodes:
        if set(report.outcomes) - {"ok"}:
            warn(f"node '{report.name}' ({report.use}): {describe_outcomes(result, report.name)}")
    if not ranking.hits:
        warn("nothing found")
    for rank, hit in enumerate(ranking.hits, start=1):
        say(f"{rank:>3}. {hit.score:.4f}  {place(hit.document)}")
        shown = snippet_of(hit.document, ranking.query, terms).marked("*", "*")
        say(textwrap.fill(plain(shown), 100, initial_indent="     ", subsequent_indent="     "))
    return 0


def describe_outcomes(result: RunResult, node: str) -> str:
    """Why a node's outcome is not ok, in one line."""
    records = result.records[node]
    return "; ".join(
        dict.fromkeys(f"{r.outcome.kind}: {r.outcome.detail}".rstrip(": ") for r in records if r.outcome.kind != "ok")
    )


def place(document: Document) -> str:
    """Where a passage stands: source, page, headings; doc_id where that says more."""
    metadata = document.metadata
    parts = [str(metadata.get("source") or document.doc_id)]
    if "page" in metadata and metadata["page"] is not None:
        parts.append(f"page {metadata['page']}")
    if document.title:
        parts.append(document.title)
    return " · ".join(parts)
