"""What a question, a graph and an index are, as hashes: equal content gives equal keys, on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rag.core.types import Query
from rag.graph.build import Graph
from retrievers.index.directory import Index


def sha256_of(content: Any) -> str:
    """Hash of plain data, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def graph_identity(graph: Graph) -> str:
    """Hash of the graph as data and of the prompts its parts use. Where it came from, and comments, do not count."""
    prompts = {name: part.prompt.sha256 for name, part in graph.parts.items() if hasattr(part, "prompt")}
    return sha256_of({"graph": graph.spec.graph.model_dump(mode="json", by_alias=True), "prompts": prompts})


def index_identity(index: Index | None) -> str:
    """Hash of what the index holds and how it was built; empty without one."""
    return "" if index is None else index.manifest.identity


def question_key(query: Query, *, graph: str, index: str) -> str:
    """Hash under which the answer to a question is committed."""
    history = [[turn.role, turn.content] for turn in query.history]
    where = dict(query.where) if query.where else None
    return sha256_of([query.qid, query.text, where, history, graph, index])
