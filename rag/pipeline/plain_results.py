"""What `rag search` and `rag ask` want of a pipeline, and what it tells them, as plain data: the same in this process and
over a socket."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

from rag.core.access import Asker
from rag.core.contents import Content
from rag.core.errors import StageError
from rag.core.filters import asked_by, both
from rag.core.report import RunResult
from rag.core.types import Query, Ranking
from rag.pipeline.as_json import answer_json, ledger_json, near_json, ranking_json, read_json
from rag.pipeline.explained import explained
from rag.pipeline.pipeline import Pipeline, raise_failure
from rag.pipeline.snippets import terms_of
from retrievers.index.near_duplicates import KnowsDuplicates

_SHOWN = 3
"""Titles that are told of what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`where`: filters as text, all of which must hold. `k`: of a search. `whole`: an answer with what it cost, in one.

    `explain`: why the hits of a search have their scores. `facets`: fields by whose values documents are counted.
    `asker`: who asks. `contents`: what is asked beside the text.
    """

    command: Literal["search", "ask"]
    text: str
    where: tuple[str, ...] = ()
    k: int | None = None
    whole: bool = False
    explain: bool = False
    facets: tuple[str, ...] = ()
    asker: Asker | None = None
    contents: tuple[Content, ...] = ()


def told(pipeline: Pipeline, wanted: Wanted) -> Iterator[Mapping[str, Any]]:
    """`{"found"}` while an answer is on its way and `{"text"}` for each piece of it; at the end `{"document"}`, of a search with
    `warnings`.

    Raises:
        RagError: it cannot be done, as `Pipeline.search` and `Pipeline.stream` say.
    """
    where = asked_by(wanted.asker, reduce(both, wanted.where, None))
    query = Query(qid="1", text=wanted.text, where=where, contents=wanted.contents)
    if wanted.command == "search":
        result, ranking = _search(pipeline, query, wanted.k)
        document = {**ranking_json(ranking, terms_of(pipeline.index)), **read_json(result.read), **ledger_json(result)}
        if wanted.explain:
            for hit, stages in zip(
                document["hits"], explained(pipeline.graph, result.records, ranking.hits), strict=True
            ):
                hit["explained"] = [stage.as_dict() for stage in stages]
        if wanted.facets:
            from rag.pipeline.facets import facets_json

            document["facets"] = facets_json(pipeline.facets(query, wanted.facets))
        yield {"document": document, "warnings": _warnings(result)}
        return
    pipeline.require_answers()
    if wanted.whole:
        result = pipeline.run([query])
        raise_failure(result)
        whole = answer_json(result.answers[0]) | near_json(result.near) | read_json(result.read) | ledger_json(result)
        yield {"document": whole}
        return
    yield from told_answer(pipeline, query)


def told_answer(pipeline: Pipeline, query: Query) -> Generator[Mapping[str, Any], None, None]:
    """The same of an answer alone, to any query. Closing it stops the model."""
    answer = None
    for step in pipeline.follow(query):
        if isinstance(step, RunResult):
            yield {"found": {**_found(step), **near_json(step.near), **read_json(step.read)}}
            continue
        if step.text:
            yield {"text": step.text}
        answer = step.answer or answer
    if answer is None:
        raise StageError("the stream ended without an answer")
    yield {"document": answer_json(answer)}


def _found(result: RunResult) -> dict[str, Any]:
    """How far a run has come: how many passages were found and where the best are, or how many are read."""
    if result.context is not None:
        context = result.context
        return {"reading": len(context.passages)} if context.settled is None else {"worked_out": len(context.passages)}
    hits = [hit for ranking in result.rankings for hit in ranking.hits]
    titles = dict.fromkeys(hit.document.title or hit.document.parent for hit in hits)
    return {"passages": len(hits), "such_as": list(titles)[:_SHOWN]}


def _search(pipeline: Pipeline, query: Query, k: int | None) -> tuple[RunResult, Ranking]:
    """The hits of a query, of near-duplicates the best with a count. So more hits are asked for where the index has such."""
    index = pipeline.index
    folds = k is not None and _has_near_duplicates(index, query)
    result = pipeline.run([query], to=pipeline.graph.last_ranking(), k=2 * k if k and folds else k)
    raise_failure(result)
    ranking = result.rankings[0]
    if k is None or index is None or not folds:
        return result, ranking
    from rerankers.distinct import DistinctReranker

    [folded] = DistinctReranker(index=index).rerank([ranking], k=k)
    return result, folded


def _has_near_duplicates(index: object, query: Query) -> bool:
    return isinstance(index, KnowsDuplicates) and len(index.near_duplicates(query.where)) > 0


def _warnings(result: RunResult) -> list[str]:
    """Why a node's outcome is not ok, a line for each such node."""
    return [
        f"node '{report.name}' ({report.use}): {_outcomes(result, report.name)}"
        for report in result.nodes
        if set(report.outcomes) - {"ok"}
    ]


def _outcomes(result: RunResult, node: str) -> str:
    records = result.records[node]
    return "; ".join(
        dict.fromkeys(f"{r.outcome.kind}: {r.outcome.detail}".rstrip(": ") for r in records if r.outcome.kind != "ok")
    )
