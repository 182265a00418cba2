"""The trail of a query through a graph: what every ranking node gave for it, what its writer was shown, and what it cited.

`rag eval` keeps it beside the TREC runs. Those hold passages; here stand documents, which are what is judged. A node that
ranked several variants of a query has a list for each of them, which is no TREC run. `rag lab` reads trails.

One JSON object, so that a file that was cut off is no JSON any more and cannot be mistaken for a shorter run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rag.core.errors import SpecError
from rag.core.files import write_atomically
from rag.core.protocols import ReadsFirst
from rag.core.report import RunResult
from rag.evaluate.citations import cited_documents
from rag.evaluate.report import read_written
from rag.graph.build import Graph

Lists = tuple[tuple[str, ...], ...]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """One query on its way.

    `nodes`: ranking node -> a list for each variant of the query that it ranked, each the document of every hit, best
    first; a document that was cut into passages may stand there several times. A node that gave nothing because the query
    had failed is not in it. `failed`: the node where it did. `shown`: the document of every passage that the writer read,
    in order; None where no answer was asked for, or none came. `cited`: documents that a marker of the answer names.
    """

    qid: str
    question: str
    nodes: Mapping[str, Lists] = field(hash=False)
    failed: str | None = None
    shown: tuple[str, ...] | None = None
    cited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trails:
    """Those of a run, in the order of its queries. `depths`: how many hits a reranker looks at, where it is not all."""

    depths: Mapping[str, int] = field(hash=False)
    queries: tuple[Trail, ...]


def trails_of(result: RunResult, ranking_nodes: Sequence[str]) -> list[Trail]:
    """The trail of each query of a batch, in order."""
    nodes: dict[str, dict[str, list[tuple[str, ...]]]] = {query.qid: {} for query in result.queries}
    for name in ranking_nodes:
        for ranking in result.records[name]:
            documents = tuple(hit.document.parent for hit in ranking.hits)
            nodes[ranking.qid].setdefault(name, []).append(documents)
    failed = {failure.qid: failure.node for failure in result.failures}
    answers = {answer.qid: answer for answer in result.answers if answer.qid not in failed}
    trails = []
    for query in result.queries:
        answer = answers.get(query.qid)
        trails.append(
            Trail(
                qid=query.qid,
                question=query.asked,
                nodes={name: tuple(lists) for name, lists in nodes[query.qid].items()},
                failed=failed.get(query.qid),
                shown=tuple(hit.document.parent for hit in answer.context.passages) if answer else None,
                cited=tuple(sorted(cited_documents(answer))) if answer else (),
            )
        )
    return trails


def depths_of(graph: Graph) -> dict[str, int]:
    """Reranking node -> how many hits it looks at; those that look at all are not in it."""
    rerankers = {node.name: graph.parts[node.name] for node in graph.nodes if node.stage == "rerank"}
    return {
        name: part.depth for name, part in rerankers.items() if isinstance(part, ReadsFirst) and part.depth is not None
    }


def write_trails(trails: Trails, path: Path) -> None:
    """Write the file, whole or not at all."""
    write_atomically(path, json.dumps(asdict(trails)) + "\n")


def read_trails(path: Path) -> Trails:
    """What `write_trails` wrote.

    Raises:
        SpecError: the file is not there, was cut off, or is no such file.
    """
    told = read_written(path, absent="a run of before has none: run it again")
    try:
        trails = Trails(depths=_each(told["depths"], _whole), queries=tuple(map(_trail, told["queries"])))
    except (KeyError, TypeError, AttributeError) as cause:
        raise SpecError(f"{path} holds no trails as rag eval writes them: {cause!r}. Run rag eval again") from None
    if len({trail.qid for trail in trails.queries}) < len(trails.queries):
        raise SpecError(f"{path} has a query twice, which rag eval never writes. Run rag eval again")
    return trails


def _trail(told: Mapping[str, Any]) -> Trail:
    shown, failed = told["shown"], told["failed"]
    return Trail(
        qid=_text(told["qid"]),
        question=_text(told["question"]),
        nodes=_each(told["nodes"], lambda lists: tuple(map(_texts, lists))),
        failed=None if failed is None else _text(failed),
        shown=None if shown is None else _texts(shown),
        cited=_texts(told["cited"]),
    )


def _each(told: Mapping[str, Any], read: Callable[[Any], _T]) -> dict[str, _T]:
    return {name: read(value) for name, value in told.items()}


def _texts(told: Any) -> tuple[str, ...]:
    if not isinstance(told, list):
        raise TypeError(f"a list is wanted, not {told!r:.40}")
    return tuple(map(_text, told))


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError(f"text is wanted, not {told!r:.40}")
    return told


def _whole(told: Any) -> int:
    if not isinstance(told, int):
        raise TypeError(f"a whole number is wanted, not {told!r:.40}")
    return told
