"""Who asks over HTTP and as a tool: nothing of what they may not read is in any reply, trace, metric or kept conversation."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

import ragline_tracing as tracing
from plugins.serve.tests.mcp.calling import called, refused
from plugins.serve.tests.walled import question, walled
from rag.batch.run import run_batch
from rag.cli import main
from rag.cli.options import PATIENCE_S
from rag.cli.parser import parser
from rag.core.access import Asker, read_asker
from rag.core.errors import SpecError
from rag.core.run_folder import graph_key
from rag.indexing import build_index
from rag.langchain import as_retriever
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings
from ragline_serve.commands.mcp import settings as mcp_settings
from ragline_serve.commands.serve import settings as serve_settings
from ragline_serve.mcp.http import create_http_app
from ragline_serve.mcp.server import create_server
from ragline_serve.service.generations import Current
from ragline_serve.service.keys import add_key, load_keys
from ragline_serve.service.local import LocalDoor
from ragline_serve.service.running import BoundedServer
from retrievers.index.settings import IndexSettings
from tests.scripted_graph import graph

ANN: dict[str, Any] = {"user": "ann", "tenant": "north", "groups": ["finance"]}
BOB: dict[str, Any] = {"user": "bob", "tenant": "south"}
SECRET = "zanzibarquux"
"""In text, title, id and metadata of what only ann may read."""
HEADER = "X-Asker"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("askers")
    secret = {
        "_id": f"{SECRET}-1",
        "title": f"About {SECRET}",
        "text": f"Paid leave in {SECRET} is forty days. The bonus {SECRET} is secret.",
        f"{SECRET}_key": SECRET,
        "acl": {"tenant": "north", "groups": ["finance"]},
    }
    public = {
        "_id": "open",
        "title": "Leave",
        "text": "Paid leave is thirty days.",
        "year": 2020,
        "acl": {"public": True},
    }
    broken = {"_id": f"{SECRET}-2", "text": f"Paid leave {SECRET}", "acl": {"groups": "finance"}}
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (secret, public, broken)))
    settings = {"reading": {"access": "acl"}}
    build_index(
        folder / "corpus.jsonl", folder / "i", legs=("lexical",), settings=IndexSettings.model_validate(settings)
    )
    return folder / "i"


@pytest.fixture
def server(index: Path, tmp_path: Path) -> Iterator[TestClient]:
    """Behind a proxy that names who asks, with conversations, and with spans that hold all text."""
    with (
        tracing.to_file(tmp_path / "spans.jsonl", text=True),
        walled(index, asker_header=HEADER, sessions_file=tmp_path / "sessions") as client,
    ):
        yield client


def as_(asker: dict[str, Any] | None) -> dict[str, str]:
    return {} if asker is None else {HEADER: json.dumps(asker)}


def ask_all(server: TestClient, asker: dict[str, Any] | None, text: str) -> list[Any]:
    """All doors that a client has."""
    where: list[Any] = [None, "year = 2020", f"{SECRET}_key = {SECRET}", f"not exists({SECRET}_key)", "nothing = 1"]
    replies = [
        server.post("/v1/search", json={"query": text, "where": each} if each else {"query": text}, headers=as_(asker))
        for each in where
    ]
    replies += [
        server.post("/v1/chat/completions", json=question(text, **more), headers=as_(asker))
        for more in ({}, {"stream": True}, {"ragline": {"session": "new"}}, {"ragline": {"where": f"{SECRET}_key = 1"}})
    ]
    return [
        *replies,
        *(server.get(path, headers=as_(asker)) for path in ("/v1/index", "/metrics", "/v1/models", "/health")),
        server.get("/v1/documents", params={"id": f"{SECRET}-1"}, headers=as_(asker)),
        server.post("/v1/fields", json={}, headers=as_(asker)),
    ]


@pytest.mark.parametrize("asker", [None, BOB, {"user": "ann"}, {"tenant": "north"}])
def test_nothing_of_a_forbidden_document_is_in_any_reply_span_or_metric(
    server: TestClient, tmp_path: Path, asker: dict[str, Any] | None
) -> None:
    text = "How many days of paid leave, and which bonus?"
    replies = ask_all(server, asker, text)
    assert [reply.status_code for reply in replies[:5]] == [200, 200, 400, 400, 400]
    for number, reply in enumerate(replies):
        said = reply.text.replace(f"'{SECRET}_key'", "")  # what the question says itself, as its error repeats
        assert SECRET not in said, number
    assert {hit["doc_id"] for hit in replies[0].json()["hits"]} == {"open"}
    errors = [replies[number].json()["error"]["message"] for number in (2, 4)]
    assert errors[0].replace(f"{SECRET}_key", "nothing") == errors[1]  # a key that others have is one that nobody has
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode(errors="replace")
    assert "thirty days" in written
    assert SECRET not in written.replace(f"{SECRET}_key", "")


def test_a_word_that_only_forbidden_documents_have_is_one_that_none_has(index: Path) -> None:
    with load_pipeline("bm25", index=index) as pipeline:
        for asker, known in ((None, False), (read_asker(BOB), False), (read_asker(ANN), True)):
            outcomes = [
                pipeline.search(word, where="year = 2020", asker=asker).outcome for word in (SECRET, "unheardofword")
            ]
            told = [outcome.detail.replace(SECRET, "unheardofword") for outcome in outcomes]
            assert "no document has any of its terms" in told[1]
            assert (told[0] != told[1]) == known


def test_whoever_may_read_it_finds_it(server: TestClient) -> None:
    replies = ask_all(server, ANN, f"paid leave in {SECRET}")
    assert {hit["doc_id"] for hit in replies[0].json()["hits"]} == {"open", f"{SECRET}-1"}
    assert replies[2].status_code == 200
    described = server.get("/v1/index", headers=as_(ANN)).json()
    assert described["passages"] == 2
    assert any(SECRET in example for example in described["examples"])


def test_a_conversation_is_its_askers_alone(server: TestClient) -> None:
    begun = server.post("/v1/chat/completions", json=question(ragline={"session": "new"}), headers=as_(ANN))
    session = begun.json()["ragline"]["session"]
    again = question("And in all?", ragline={"session": session})
    for other in (BOB, None, {**ANN, "tenant": "south"}, {"user": "bob", "tenant": "north", "groups": ["finance"]}):
        reply = server.post("/v1/chat/completions", json=again, headers=as_(other))
        assert reply.status_code == 404
        assert server.delete(f"/v1/sessions/{session}", headers=as_(other)).status_code == 404
    assert server.post("/v1/chat/completions", json=again, headers=as_(ANN)).status_code == 200


@pytest.mark.parametrize(
    "value", ["", "ann", "{", '["ann"]', '{"user": 3}', '{"user": "ann", "admin": true}', "\xff", "{}" * 40_000]
)
def test_a_header_that_is_no_asker_is_refused(server: TestClient, value: str) -> None:
    reply = server.post("/v1/search", json={"query": "leave"}, headers={HEADER: value.encode("latin-1")})  # type: ignore[dict-item]
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_asker")


def test_a_header_that_comes_twice_is_refused(server: TestClient) -> None:
    twice = [(HEADER, json.dumps(BOB)), (HEADER, json.dumps(ANN))]
    assert server.post("/v1/search", json={"query": "leave"}, headers=twice).status_code == 400


def test_a_client_cannot_say_who_it_is_where_no_header_was_named(index: Path) -> None:
    with walled(index) as client:
        reply = client.post("/v1/search", json={"query": "leave"}, headers=as_(ANN))
        assert {hit["doc_id"] for hit in reply.json()["hits"]} == {"open"}
        assert client.post("/v1/search", json={"query": "leave", "asker": ANN}).status_code == 400


def test_a_key_says_who_asks_whatever_a_header_says(index: Path, tmp_path: Path) -> None:
    of_ann = add_key(tmp_path / "keys", "ann", read_asker(ANN))
    of_bob = add_key(tmp_path / "keys", "bob", read_asker(BOB))
    shared = add_key(tmp_path / "keys", "proxy")

    def found(client: TestClient, key: str, **headers: str) -> int:
        reply = client.post(
            "/v1/search", json={"query": "leave"}, headers={"Authorization": f"Bearer {key}", **headers}
        )
        return len(reply.json()["hits"])

    with walled(index, keys_file=tmp_path / "keys", asker_header=HEADER) as client:
        assert [found(client, key) for key in (of_ann, of_bob, shared)] == [2, 1, 1]
        assert found(client, of_bob, **as_(ANN)) == 1
        assert found(client, shared, **as_(ANN)) == 2
    line = (tmp_path / "keys").read_text().splitlines()[0]
    (tmp_path / "keys").write_text(line.replace('"user"', '"who"') + "\n")
    with pytest.raises(SpecError, match="not a name, a salt and a hash, with or without whom"):
        load_keys(tmp_path / "keys")


def test_the_name_of_a_header_is_one() -> None:
    for name in ("", "X Asker", "x:y", "é"):
        with pytest.raises(SpecError, match="asker_header"):
            ServeSettings(asker_header=name)


def test_a_command_that_finds_the_server_asks_for_whom_it_was_given(
    index: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A short name: the path of a socket has some hundred bytes at most.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))

    def worked(*_: Any) -> Any:
        raise AssertionError("the server was not asked")

    monkeypatch.setattr("rag.cli.running_server._worked", worked)
    with load_pipeline("bm25", index=index) as pipeline:
        current = Current({"m": pipeline})
        key = partial(graph_key, patience=PATIENCE_S)
        with LocalDoor(os.path.realpath(index), {"m": "bm25"}, current.use, key=key):
            for more, n in (((), 1), (("--as", json.dumps(ANN)), 2), (("--as", json.dumps(BOB)), 1)):
                capsys.readouterr()
                assert main(["search", "paid leave", "--index", str(index), "--graph", "bm25", "--json", *more]) == 0
                assert len(json.loads(capsys.readouterr().out)["hits"]) == n


def test_the_commands_take_the_header_and_keys_for_somebody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, made in (("serve", serve_settings), ("mcp", mcp_settings)):
        assert made(parser().parse_args([command, "--asker-header", HEADER])).asker_header == HEADER
        assert made(parser().parse_args([command])).asker_header is None
    assert main(["keys", str(tmp_path / "keys"), "--as", json.dumps(ANN)]) == 0
    known = load_keys(tmp_path / "keys").known(capsys.readouterr().out.strip().encode())
    assert known is not None
    assert known.asker == read_asker(ANN)
    assert main(["keys", "--as", json.dumps(ANN)]) == 2
    assert "name one" in capsys.readouterr().err
    assert main(["mcp", "--http", "--as", json.dumps(ANN)]) == 2
    assert "--asker-header" in capsys.readouterr().err


# --- tools ---


def test_tools_show_what_the_one_who_runs_them_may_read(index: Path) -> None:
    with load_pipeline(graph(), index=index) as pipeline:
        for asker, ids in ((None, {"open"}), (read_asker(ANN), {"open", f"{SECRET}-1"})):
            server = create_server(pipeline, asker=asker)
            assert {hit["doc_id"] for hit in called(server, "search", query="paid leave")["hits"]} == ids
        stranger = create_server(pipeline)
        absent = refused(stranger, "get_document", doc_id="nowhere")
        assert refused(stranger, "get_document", doc_id=f"{SECRET}-1").replace(f"{SECRET}-1", "nowhere") == absent
        assert called(server, "get_document", doc_id=f"{SECRET}-1")["text"].startswith("Paid leave")
        assert SECRET not in json.dumps(called(stranger, "answer", question="paid leave?"))


def test_tools_over_http_know_who_calls_by_key_and_by_header(index: Path, tmp_path: Path) -> None:
    of_ann, shared = add_key(tmp_path / "keys", "ann", read_asker(ANN)), add_key(tmp_path / "keys", "proxy")
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    walls = ServeSettings(asker_header=HEADER)

    def found(key: str, **headers: str) -> str:
        call = {"name": "search", "arguments": {"query": "paid leave"}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        said = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {key}", **headers}
        reply = httpx2.post(url, json=body, headers=said, timeout=60)
        assert reply.status_code == 200
        return reply.text

    with load_pipeline(graph(), index=index) as pipeline, listener:
        app = create_http_app(pipeline, host="127.0.0.1", keys=load_keys(tmp_path / "keys"), settings=walls)
        running = BoundedServer(app, walls)
        thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])), daemon=True)
        thread.start()
        try:
            assert SECRET in found(of_ann)
            assert SECRET not in found(shared)
            assert "thirty days" in found(shared)
            assert SECRET in found(shared, **as_(ANN))
            assert SECRET not in found(shared, **as_(BOB))
        finally:
            running.should_exit = True
            thread.join(60)


# --- programs ---


def test_a_batch_answers_each_line_for_who_asks_it(index: Path, tmp_path: Path) -> None:
    lines = [
        {"id": "ann", "question": f"paid leave {SECRET}", "asker": ANN},
        {"id": "bob", "question": "paid leave bonus", "asker": BOB},
        {"id": "given", "question": "paid leave bonus"},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def passages(**more: Any) -> dict[str, set[str]]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        with load_pipeline(graph(), index=index) as pipeline:
            run_batch(tmp_path / "q.jsonl", pipeline, out=out, **more)
        answers = map(json.loads, (out / "answers.jsonl").read_text().splitlines())
        return {answer["id"]: set(answer["passages"]) for answer in answers}

    both = {"open", f"{SECRET}-1"}
    assert passages() == {"ann": both, "bob": {"open"}, "given": {"open"}}
    assert passages(asker=read_asker(ANN))["given"] == both
    (tmp_path / "q.jsonl").write_text(json.dumps({"id": "x", "question": "leave", "asker": "ann"}))
    with pytest.raises(SpecError, match=r"q.jsonl:1: an asker is an object"):
        passages()


def test_a_key_that_one_asker_knows_is_none_for_the_next(index: Path, tmp_path: Path) -> None:
    lines = [{"question": "leave", "where": f"{SECRET}_key = {SECRET}", "asker": asker} for asker in (ANN, BOB)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with (
        load_pipeline(graph(), index=index) as pipeline,
        pytest.raises(SpecError, match=r"q.jsonl:2: where: no document"),
    ):
        run_batch(tmp_path / "q.jsonl", pipeline, out=tmp_path / "out")


def test_an_answer_that_is_kept_is_another_one_for_somebody_else(index: Path) -> None:
    from rag.core.filters import asked_by
    from rag.core.types import Query
    from rag.pipeline.identity import question_key

    keys = {
        question_key(Query(qid="q", text="leave", where=asked_by(asker, "year = 2020")), graph="g", index="i")
        for asker in (None, Asker(user="ann"), Asker(user="ann", tenant="north"))
    }
    assert len(keys) == 3


def test_python_and_langchain_take_who_asks(index: Path) -> None:
    who = read_asker(ANN)
    with load_pipeline(graph(), index=index) as pipeline:
        assert len(pipeline.search("paid leave")) == 1
        assert len(pipeline.search("paid leave", asker=who)) == 2
        assert [len(ranking) for ranking in pipeline.search_batch(["paid leave"], asker=who)] == [2]
        assert len(pipeline.ask("paid leave", asker=who).context.passages) == 2
        assert len([*pipeline.stream("paid leave", asker=who)][-1].answer.context.passages) == 2  # type: ignore[union-attr]
        assert len(asyncio.run(pipeline.aask("paid leave", asker=who)).context.passages) == 2
        assert len(as_retriever(pipeline, asker=who).invoke("paid leave")) == 2
        assert len(as_retriever(pipeline).invoke("paid leave")) == 1
        assert len(pipeline.as_runnable().invoke({"question": "paid leave", "asker": ANN}).context.passages) == 2
