"""Rerankers by name and parameters, as a graph makes them."""

from __future__ import annotations

from typing import Any

from rerankers import RERANKERS


def reranker(name: str, llm: Any, **params: Any) -> Any:
    """One that repeats another is given it, made of `of` and `params`."""
    if name != "self_consistency":
        return RERANKERS.get(name)(llm=llm, **params)
    inner = params.pop("params", {})
    return RERANKERS.get(name)(llm=llm, of=reranker(params.pop("of", "listwise"), llm, **inner), **params)
