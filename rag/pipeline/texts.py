"""Plain strings through a reranker: no graph and no index."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from generators.llm import LLMS
from rag.core.errors import SpecError
from rag.core.protocols import Reranker
from rag.core.ranking import in_this_order
from rag.core.types import Document, Query, Ranking
from rag.graph.signature import signature
from rerankers import RERANKERS


def rerank_texts(
    query: str, texts: Sequence[str], *, use: str = "attention", model: str | None = None, **parameters: Any
) -> list[tuple[int, float]]:
    """Texts in order of relevance: (position in `texts`, score), best first.

    Args:
        use: a reranker's name (`rag list rerank`).
        model: what it reads, a packaged name, a folder or a hub id; by default the packaged language model. The last few
            are kept.
        parameters: of the reranker.
    Raises:
        TypeError: `texts` is one text.
        UnknownComponent: no such reranker.
        SpecError: it reads documents of an index, or its parameters are not right.

    >>> rag.rerank_texts("what protects my eyes", ["Paris is a city.", "Goggles protect eyes."])  # doctest: +SKIP
    [(1, 0.42), (0, -0.31)]
    """
    if isinstance(texts, str):
        raise TypeError(f"texts must be a list, got the one text {texts[:80]!r}: put it in []")
    hashable = {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}
    reranker = _reranker(use, model, tuple(sorted(hashable.items())))
    return ranked_by(reranker, query, texts)


def ranked_by(reranker: Reranker, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
    """(position in `texts`, score), best first. Texts are taken to be in first-stage order, best first."""
    documents = [Document(doc_id=f"{position:09}", text=text) for position, text in enumerate(texts)]
    ranking = Ranking(query=Query(qid="1", text=query), hits=in_this_order(documents))
    [reranked] = reranker.rerank([ranking], k=max(1, len(texts)))
    return [(int(hit.doc_id), hit.score) for hit in reranked.hits]


@lru_cache(maxsize=4)
def _reranker(use: str, model: str | None, parameters: tuple[tuple[str, Any], ...]) -> Any:
    component, values = RERANKERS.get(use), dict(parameters)
    for param in signature(component, "rerank").params:
        if param.resource == "llm":
            values[param.name] = LLMS.get("transformers")(**({} if model is None else {"model": model}))
        elif param.name == "model" and model is not None:
            values["model"] = model
        elif param.resource is not None and param.default is not None:
            raise SpecError(f"rerank.{use} needs more than texts ({param.name}); use it in a graph")
    try:
        return component(**values)
    except (TypeError, ValueError) as cause:
        raise SpecError(f"rerank.{use}: {cause}") from cause
