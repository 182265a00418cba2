"""A real server on a free port, and the official client in front of it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from openai import OpenAI

from plugins.serve.tests.served import served
from plugins.serve.tests.walled import MODEL
from rag.pipeline import Pipeline
from ragline_serve import ServeSettings, create_app

DEADLINE_S = 180


@contextmanager
def openai_client(pipeline: Pipeline, **settings: Any) -> Iterator[OpenAI]:
    """The official client of a server over the pipeline; it tries nothing twice."""
    with (
        served(create_app(pipeline, ServeSettings(model=MODEL, **settings))) as running,
        OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=DEADLINE_S) as client,
    ):
        yield client


def asked(text: str = "How many days of paid leave?", *before: str) -> dict[str, Any]:
    """Arguments of a chat call: a question, and what was said before it, user and assistant by turns."""
    turns = [{"role": ("user", "assistant")[at % 2], "content": said} for at, said in enumerate(before)]
    return {"model": MODEL, "messages": [*turns, {"role": "user", "content": text}]}


def posted(url: str, path: str, body: dict[str, Any]) -> socket.socket:
    """A request that was sent; whoever sent it may read on or hang up."""
    place = urlsplit(url)
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    sending = socket.create_connection((place.hostname, place.port))
    sending.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return sending


def until(true: Callable[[], bool]) -> None:
    """Return once something is so."""
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)
