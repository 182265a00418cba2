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
from tests.scripted_graph import graph

MODEL = "ragline"


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
