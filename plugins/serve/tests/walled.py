"""Small servers with all their walls, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from rag.pipeline import Pipeline, load_pipeline
from ragline_serve import ServeSettings, create_app

MODEL = "ragline"


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


@contextmanager
def walled(index: Path, llm: dict[str, Any] | None = None, **settings: Any) -> Iterator[TestClient]:
    """A client of a server over the index. An error that gets past the last resort is raised in the test."""
    with load_pipeline(graph(**(llm or {})), index=index) as pipeline, client(pipeline, **settings) as asking:
        yield asking


@contextmanager
def client(pipeline: Pipeline, **settings: Any) -> Iterator[TestClient]:
    app: FastAPI = create_app(pipeline, ServeSettings(model=MODEL, **settings))
    with TestClient(app) as asking:
        end = time.monotonic() + 300
        while app.state.services.first.loading:  # else it goes on beside the next test
            assert time.monotonic() < end
            time.sleep(0.01)
        yield asking


def question(text: str = "How many days of paid leave?", **more: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]} | more
