"""A graph that answers as it is told to."""

from __future__ import annotations

from typing import Any


def graph(**llm: Any) -> dict[str, Any]:
    """Lexical search and a cited answer by a model that says what it is told to."""
    return {
        "version": 1,
        "models": {"small": {"use": "llm.scripted", "with": {"replies": ["It is so [1]."]} | llm}},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "in": "query", "k": 3},
            "ranked": {"use": "rerank.identity", "in": "bm25", "k": 3},
            "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "small", "max_tokens": 120}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small", "max_tokens": 8}},
        },
        "output": "answer",
    }
