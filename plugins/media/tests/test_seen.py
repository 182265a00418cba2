"""Answers by a model that sees: what a server is sent, and what one says that cannot see."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from rag import build_index, load_pipeline
from rag.errors import SpecError, StageError
from rag.graphs import load_spec
from tests.http_serving import http_serving
from tests.scripted_graph import graph

PICTURES = [encoded(each.picture()) for each in drawings(1)[:3]]


@contextmanager
def seeing(asked: list[dict[str, Any]], *, sees: bool = True) -> Iterator[str]:
    """A server that keeps what it is asked and says one thing; one that does not see refuses pictures, as servers do."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._json(200, {"data": [{"id": "eyes", "owned_by": "somebody", "max_model_len": 8192}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            if not sees and "image_url" in json.dumps(body):
                self._json(400, {"error": {"message": "eyes is not a multimodal model"}})
                return
            text = {"message": {"role": "assistant", "content": "It is red [1]."}, "finish_reason": "stop"}
            self._json(200, {"choices": [text], "usage": {"prompt_tokens": 9, "completion_tokens": 5}})

        def _json(self, status: int, data: Any) -> None:
            payload = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

    with http_serving(Handler) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("seen")
    (home / "photos").mkdir()
    for number, data in enumerate(PICTURES):
        (home / "photos" / f"IMG_000{number}.png").write_bytes(data)
        (home / "photos" / f"IMG_000{number}.txt").write_text(f"Shape number {number} {'of the day ' * number}\n")
    (home / "photos" / "a.txt").write_text("A shape without a picture: shape shape shape shape.\n")
    models = {"tower": str(random_tower(home / "m" / "tower")), "encoder": str(random_encoder(home / "m" / "encoder"))}
    spec = load_spec(graph() | {"index": {"pictures": models}})
    build_index(home / "photos", home / "idx", settings=spec.graph.index, legs=("lexical",))
    return home / "idx"


def asking(url: str, pictures: int, *, vision: bool = True) -> dict[str, Any]:
    made = graph()
    server = {"url": url, "model": "eyes", "dialect": "openai", "vision": vision, "retries": 0}
    made["models"]["small"] = {"use": "llm.server", "with": server}
    made["nodes"]["bm25"]["k"] = made["nodes"]["ranked"]["k"] = 4
    made["nodes"]["answer"]["with"] |= {"pictures": pictures, "max_tokens": 64}
    return made


def test_pictures_of_the_first_passages_go_with_their_numbers(index: Path) -> None:
    asked = list[dict[str, Any]]()
    with seeing(asked) as url, load_pipeline(asking(url, 2), index=index) as pipeline:
        answer = pipeline.ask("Which shape?")
    assert answer.text == "It is red [1]."
    [pieces] = [turn["content"] for turn in asked[0]["messages"] if turn["role"] == "user"]
    assert [each["type"] for each in pieces] == ["text", "text", "image_url", "text", "image_url"]
    assert pieces[0]["text"].endswith("Which shape?") or "Which shape?" in pieces[0]["text"]
    held = [hit.document.contents for hit in answer.context.passages]
    numbers = [number for number, contents in enumerate(held, start=1) if contents][:2]
    assert len(held) == 4
    assert [pieces[place]["text"] for place in (1, 3)] == [f"Picture of passage [{number}]:" for number in numbers]
    sent = [b64decode(pieces[place]["image_url"]["url"].partition(",")[2]) for place in (2, 4)]
    from hashlib import sha256

    assert [sha256(data).hexdigest() for data in sent] == [held[number - 1][0].sha256 for number in numbers]


def test_without_being_asked_for_none_is_sent(index: Path) -> None:
    asked = list[dict[str, Any]]()
    with seeing(asked) as url, load_pipeline(asking(url, 0), index=index) as pipeline:
        pipeline.ask("Which shape?")
    assert all(isinstance(turn["content"], str) for turn in asked[0]["messages"])


def test_a_model_that_was_not_said_to_see_is_refused_before_anything_is_asked(index: Path) -> None:
    with pytest.raises(SpecError, match="pictures needs a model that sees"):
        load_pipeline(asking("http://127.0.0.1:9/v1", 2, vision=False), index=index)
    scripted = graph()
    scripted["nodes"]["answer"]["with"]["pictures"] = 1
    with pytest.raises(SpecError, match=r"Use llm\.server with vision: true"):
        load_pipeline(scripted, index=index)
    wrong = asking("http://127.0.0.1:9/v1", -1)
    with pytest.raises(SpecError, match="pictures must be 0 or more"):
        load_pipeline(wrong, index=index)


def test_what_a_server_says_that_does_not_see_is_told(index: Path) -> None:
    asked = list[dict[str, Any]]()
    with (
        seeing(asked, sees=False) as url,
        load_pipeline(asking(url, 2), index=index) as pipeline,
        pytest.raises((SpecError, StageError), match="eyes is not a multimodal model"),
    ):
        pipeline.ask("Which shape?")


def test_token_ids_hold_no_picture() -> None:
    from generators.llm.server import ServerLLM

    with pytest.raises(ValueError, match="vision needs messages as text"):
        ServerLLM(vision=True, tokenizer="smollm2-135m-instruct")


def test_a_large_picture_goes_as_its_small_one(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generators import seen

    monkeypatch.setattr(seen, "LARGEST", 10)
    asked = list[dict[str, Any]]()
    with seeing(asked) as url, load_pipeline(asking(url, 1), index=index) as pipeline:
        pipeline.ask("Which shape?")
    [pieces] = [turn["content"] for turn in asked[0]["messages"] if turn["role"] == "user"]
    assert pieces[2]["image_url"]["url"].startswith("data:image/webp;base64,")
