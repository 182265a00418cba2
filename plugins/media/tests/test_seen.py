"""Answers by a model that sees: what a server is sent, what nobody else is, and what one says that cannot see."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp import Client
from starlette.testclient import TestClient

from generators.llm.server import ServerLLM
from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from plugins.media.tests.seeing import pictures_in, pieces_in, seeing
from plugins.serve.tests.walled import client, question
from rag import Asker, build_index, load_pipeline
from rag.batch.run import run_batch
from rag.doors import answer_json
from rag.erasure import erase_from_index
from rag.errors import SpecError, StageError
from rag.filters import asked_by
from rag.graphs import load_spec
from rag.types import Content, Query
from ragline_media import shown
from ragline_serve.mcp.server import create_server
from tests.scripted_graph import graph

PICTURES = [encoded(each.picture()) for each in drawings(1)[:3]]
DOCS = Path(__file__).parents[3] / "docs" / "plugins" / "models_that_see.md"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, of which the last is for Ann alone, and a text."""
    home = tmp_path_factory.mktemp("seen")
    (home / "photos").mkdir()
    labels = [{"id": "photos/a.txt", "public": True}]
    for number, data in enumerate(PICTURES):
        (home / "photos" / f"IMG_000{number}.png").write_bytes(data)
        (home / "photos" / f"IMG_000{number}.txt").write_text(f"Shape number {number} {'of the day ' * number}\n")
        who = {"public": True} if number < 2 else {"tenant": "north", "users": ["ann"]}
        labels.append({"id": f"photos/IMG_000{number}.png"} | who)
    (home / "photos" / "a.txt").write_text("A shape without a picture: shape shape shape shape.\n")
    (home / "labels.jsonl").write_text("".join(json.dumps(each) + "\n" for each in labels))
    models = {"tower": str(random_tower(home / "m" / "tower")), "encoder": str(random_encoder(home / "m" / "encoder"))}
    dense = {"encoder": models["encoder"], "compute": "float32"}
    spec = load_spec(graph() | {"index": {"pictures": models, "dense": dense}})
    labelled = home / "labels.jsonl"
    build_index(home / "photos", home / "idx", settings=spec.graph.index, legs=("lexical", "dense"), labels=labelled)
    return home / "idx"


def asking(url: str, most: int | None, *, vision: bool = True) -> dict[str, Any]:
    """The scripted graph with a server in the place of the script, and with `most` pictures put before it."""
    made = graph()
    server = {"url": url, "model": "eyes", "dialect": "openai", "vision": vision, "retries": 0}
    made["models"]["small"] = {"use": "llm.server", "with": server}
    made["nodes"]["bm25"]["k"] = made["nodes"]["ranked"]["k"] = 4
    made["nodes"]["answer"]["with"] |= {"max_tokens": 64}
    if most is not None:
        made["nodes"]["seen"] = {"use": "assemble.pictures", "in": "context", "with": {"most": most}}
        made["nodes"]["answer"]["in"] = "seen"
    return made


def of(user: str) -> Query:
    return Query(qid="1", text="Which shape?", where=asked_by(Asker(user=user, tenant="north")))


def sent(index: Path, most: int | None, query: Query | str = "Which shape?") -> tuple[Any, dict[str, Any]]:
    """The answer, and the one request."""
    asked = list[dict[str, Any]]()
    with seeing(asked) as url, load_pipeline(asking(url, most), index=index) as pipeline:
        answer = pipeline.ask(query)
    [body] = asked
    return answer, body


def test_pictures_of_the_first_passages_go_with_their_numbers(index: Path) -> None:
    answer, body = sent(index, 2)
    assert answer.text == "It is red [1]."
    pieces = pieces_in(body)
    assert [each["type"] for each in pieces] == ["text", "text", "image_url", "text", "image_url"]
    assert "Which shape?" in pieces[0]["text"]
    held = [hit.document.contents for hit in answer.context.passages]
    numbers = [number for number, contents in enumerate(held, start=1) if contents][:2]
    assert len(held) == 3
    assert [pieces[place]["text"] for place in (1, 3)] == [f"Picture of passage [{number}]:" for number in numbers]
    assert [sha256(data).hexdigest() for data in pictures_in(body)] == [held[n - 1][0].sha256 for n in numbers]
    assert set(pictures_in(body)) <= set(PICTURES)


def test_without_the_stage_none_is_sent(index: Path) -> None:
    _, body = sent(index, None)
    assert all(isinstance(turn["content"], str) for turn in body["messages"])


def test_nobody_is_shown_by_a_model_what_they_may_not_read(index: Path) -> None:
    assert set(pictures_in(sent(index, 3, of("bob"))[1])) == {*PICTURES[:2]}
    assert set(pictures_in(sent(index, 3, of("ann"))[1])) == {*PICTURES}


def test_an_erased_picture_is_shown_to_no_model(index: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(index, tmp_path / "idx")
    erase_from_index(["photos/IMG_0000.png"], tmp_path / "idx", most_lost=1.0, wait_s=0)
    assert set(pictures_in(sent(tmp_path / "idx", 3, of("ann"))[1])) == {*PICTURES[1:]}


def test_a_large_picture_goes_as_its_small_one_and_is_called_what_it_is(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "LARGEST", 10)
    answer, body = sent(index, 1)
    [address] = [each["image_url"]["url"] for each in pieces_in(body) if each["type"] == "image_url"]
    assert address.startswith("data:image/webp;base64,")
    assert pictures_in(body)[0][8:12] == b"WEBP"
    assert {each.media_type for hit in answer.context.passages for each in hit.document.contents} == {"image/png"}


def test_the_picture_of_a_question_is_looked_at_too(index: Path) -> None:
    data = encoded(drawings(1)[5].picture())
    address = f"data:image/png;base64,{b64encode(data).decode()}"
    content = Content(kind="picture", uri=address, sha256=sha256(data).hexdigest(), media_type="image/png")
    _, body = sent(index, None, Query(qid="1", text="Which shape?", contents=(content,)))
    assert pieces_in(body)[1]["text"] == "Picture of the question:"
    assert pictures_in(body) == [data]
    elsewhere = Content(kind="picture", uri="http://127.0.0.1:9/x.png", sha256=sha256(data).hexdigest())
    _, body = sent(index, None, Query(qid="1", text="Which shape?", contents=(elsewhere,)))
    assert pictures_in(body) == []


@pytest.fixture(scope="module")
def marks() -> list[str]:
    """What the bytes of these pictures look like in base64, wherever they stand."""
    return [b64encode(data).decode()[40:80] for data in PICTURES]


def test_what_is_sent_written_and_logged_has_no_bytes(
    index: Path, tmp_path: Path, marks: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="numba")
    asked, said = list[dict[str, Any]](), list[str]()
    with seeing(asked) as url, load_pipeline(asking(url, 3), index=index) as pipeline:
        answer = pipeline.ask(of("ann"))
        said += [repr(answer), json.dumps(answer_json(answer)), repr(answer.context.passages)]
        assert not any(each.data for hit in answer.context.passages for each in hit.document.contents)
        *_, last = pipeline.stream(of("ann"))
        assert last.answer is not None
        assert not any(each.data for hit in last.answer.context.passages for each in hit.document.contents)
        (tmp_path / "questions.jsonl").write_text('{"_id": "q1", "text": "Which shape?"}\n')
        run_batch(tmp_path / "questions.jsonl", pipeline, out=tmp_path / "run")
        with client(pipeline, asker_header="X-Asker") as http:
            said.append(_chat(http))
        said.append(json.dumps(asyncio.run(_over_mcp(create_server(pipeline)))))
    written = [file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
    assert len([body for body in asked if pictures_in(body)]) == len(asked) >= 4
    assert all(mark in json.dumps(asked) for mark in marks)
    for text in (*said, *written, caplog.text):
        assert not [mark for mark in marks if mark in text]


def _chat(http: TestClient) -> str:
    reply = http.post("/v1/chat/completions", json=question("Which shape?"))
    assert reply.status_code == 200, reply.text
    return reply.text


async def _over_mcp(server: Any) -> Any:
    async with Client(server) as made:
        return (await made.call_tool("answer", {"question": "Which shape?"})).model_dump(mode="json")


def test_a_model_that_was_not_said_to_see_is_refused_before_anything_is_asked(index: Path) -> None:
    refusal = (
        "generate.cited does not read picture, which 'seen' puts before its model. Use llm.server with vision: true"
    )
    with pytest.raises(SpecError, match=re.escape(refusal)):
        load_pipeline(asking("http://127.0.0.1:9/v1", 2, vision=False), index=index)
    scripted = asking("http://127.0.0.1:9/v1", 2)
    scripted["models"] = graph()["models"]
    with pytest.raises(SpecError, match="a server whose model sees, or leave 'seen' out"):
        load_pipeline(scripted, index=index)
    with pytest.raises(SpecError, match="most must be"):
        load_pipeline(asking("http://127.0.0.1:9/v1", 0), index=index)


def test_what_a_server_says_that_does_not_see_is_told(index: Path) -> None:
    asked = list[dict[str, Any]]()
    with (
        seeing(asked, sees=False) as url,
        load_pipeline(asking(url, 2), index=index) as pipeline,
        pytest.raises((SpecError, StageError), match="eyes is not a multimodal model"),
    ):
        pipeline.ask("Which shape?")


def test_token_ids_hold_no_picture() -> None:
    with pytest.raises(ValueError, match="vision needs messages as text"):
        ServerLLM(vision=True, tokenizer="smollm2-135m-instruct")


def _graphs_of_the_page() -> Iterator[dict[str, Any]]:
    for block in re.findall(r"^```yaml\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if "assemble.pictures" in block:
            yield yaml.safe_load(block)


def test_the_graph_of_the_page_shows_pictures(index: Path) -> None:
    [made] = _graphs_of_the_page()
    asked = list[dict[str, Any]]()
    with seeing(asked) as url:
        made["models"]["eyes"]["with"] |= {"url": url}
        with load_pipeline(made, index=index) as pipeline:
            answer = pipeline.ask("Which shape?")
    assert answer.text == "It is red [1]."
    assert set(pictures_in(asked[-1])) <= {*PICTURES}
    assert pictures_in(asked[-1])
