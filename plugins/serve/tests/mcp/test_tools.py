"""The tools, through the official client and a server in this process."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from mcp import Client
from mcp.server import MCPServer
from mcp_types import Tool

from generators.llm.scripted import ScriptedLLM
from plugins.serve.tests.mcp.calling import called, refused
from plugins.serve.tests.mcp.conftest import HOSTILE, graph
from rag.asked import QuestionLog
from rag.core.access import Asker
from rag.core.errors import MissingModel, SpecError, StageError
from rag.core.types import Completion, Prompt, SamplingParams
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.as_json import answer_json, ranking_json
from ragline_serve import ServeSettings
from ragline_serve.mcp.server import create_server


@pytest.fixture
def pipeline(index: Path) -> Iterator[Pipeline]:
    with load_pipeline(graph(), index=index) as made:
        yield made


@pytest.fixture
def server(pipeline: Pipeline) -> MCPServer[Any]:
    return create_server(pipeline)


def tools_of(server: Any) -> dict[str, Tool]:
    async def listed() -> list[Tool]:
        async with Client(server) as client:
            return list((await client.list_tools()).tools)

    return {tool.name: tool for tool in asyncio.run(listed())}


def test_each_tool_has_schemas_and_says_that_it_only_reads(server: MCPServer[Any]) -> None:
    tools = tools_of(server)
    assert list(tools) == ["search", "answer", "get_document"]
    for tool in tools.values():
        assert tool.description
        Draft202012Validator.check_schema(tool.input_schema)
        assert tool.output_schema is not None
        Draft202012Validator.check_schema(tool.output_schema)
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is True
    assert set(tools["search"].input_schema["properties"]) == {"query", "k", "where"}
    assert tools["search"].input_schema["required"] == ["query"]
    assert set(tools["answer"].input_schema["properties"]) == {"question", "history", "where"}


def test_what_comes_fits_the_schema_that_was_told(server: MCPServer[Any]) -> None:
    schemas = {name: tool.output_schema for name, tool in tools_of(server).items()}
    given: dict[str, Any] = {
        "search": called(server, "search", query="paid leave"),
        "answer": called(server, "answer", question="paid leave?"),
        "get_document": called(server, "get_document", doc_id="texts/d02.md#1"),
    }
    for name, result in given.items():
        Draft202012Validator(schemas[name] or {}).validate(result)


def test_search_gives_what_python_gives(server: MCPServer[Any], pipeline: Pipeline) -> None:
    found = called(server, "search", query="warranty of frames", k=2)
    expected = ranking_json(pipeline.search("warranty of frames", k=2))
    assert len(found["hits"]) == 2
    assert found["hits"] == expected["hits"]
    assert found["query"] == expected["query"]


def test_answer_gives_what_python_gives(server: MCPServer[Any], pipeline: Pipeline) -> None:
    given = called(server, "answer", question="warranty of frames?")
    expected = answer_json(pipeline.ask("warranty of frames?"))
    assert given["answer"] == "It is so [1]."
    for key in ("question", "answer", "status", "citations", "passages"):
        assert given[key] == expected[key]
    assert given["citations"][0]["doc_id"] == given["passages"][0]["doc_id"]


def test_history_reaches_the_model(server: MCPServer[Any], pipeline: Pipeline) -> None:
    turns = [{"role": "user", "content": "How are FRAMES made?"}, {"role": "assistant", "content": "Brazed."}]
    called(server, "answer", question="and their warranty?", history=turns)
    asked = [turn.content for prompt in pipeline.graph.models["small"].seen for turn in prompt]
    assert any("How are FRAMES made?" in text for text in asked)


def test_a_filter_holds_and_an_unknown_key_is_named(server: MCPServer[Any]) -> None:
    found = called(server, "search", query="frames warranty", where={"source": ["texts/d09.md", "texts/d03.md"]})
    assert [hit["doc_id"] for hit in found["hits"]] == ["texts/d09.md#1"]
    assert "source" in refused(server, "search", query="frames", where={"sauce": "texts/d09.md"})


def test_a_filter_is_an_expression_as_text_or_data(server: MCPServer[Any]) -> None:
    for where in (
        "source in (texts/d09.md, texts/d03.md)",
        {"source": {"glob": "texts/d0[39].md"}, "not": {"source": "x"}},
    ):
        found = called(server, "search", query="frames warranty", where=where)
        expected = ["texts/d09.md#1"] if isinstance(where, str) else []
        assert [hit["doc_id"] for hit in found["hits"]] == expected
    assert "column 10: expected a value" in refused(server, "search", query="frames", where="source ~ ")
    assert "no operator 'gtee'" in refused(server, "search", query="frames", where={"source": {"gtee": 3}})


def test_a_passage_leads_to_its_neighbours(server: MCPServer[Any]) -> None:
    seen = [called(server, "get_document", doc_id="texts/d13.md#1")]
    assert seen[0]["previous"] is None
    while seen[-1]["next"] is not None:
        seen.append(called(server, "get_document", doc_id=seen[-1]["next"]))
        assert seen[-1]["previous"] == seen[-2]["doc_id"]
    assert len(seen) > 1
    assert {passage["parent"] for passage in seen} == {"texts/d13.md"}
    assert "Salad" in seen[-1]["text"]
    assert seen[-1]["position"]["source"] == "texts/d13.md"


@pytest.mark.parametrize("doc_id", ["d99", "../../etc/passwd", "x" * 300, "texts/d13.md#1\x00"])
def test_an_unknown_document_is_an_error_that_says_what_to_give(server: MCPServer[Any], doc_id: str) -> None:
    assert "that search or answer returned" in refused(server, "get_document", doc_id=doc_id)


def test_hostile_passages_are_data(server: MCPServer[Any]) -> None:
    """Text that plays at being a turn, a tag or a field comes back as the value of `text`, character by character."""
    [hit] = called(server, "search", query="forged")["hits"]
    assert hit["doc_id"] == "texts/hostile.txt#1"
    assert hit["text"] == HOSTILE


ARGUMENTS = "Its arguments are query, k, where; its input schema says what each takes"
LONG = "x" * 20_001


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "query: it is missing; give it"),
        ({"query": ""}, "query: it is too short; give at least 1 character"),
        ({"query": LONG}, "query: it is too long; give at most 20,000 characters"),
        ({"query": 3}, "query: it is no text; give a text"),
        ({"query": "x", "k": 0}, "k: it is too small; give at least 1"),
        ({"query": "x", "k": 101}, "k: it is too large; give at most 100"),
        ({"query": "x", "k": "many"}, "k: it is no whole number; give one"),
        ({"query": "x", "k": 1.5}, "k: it is no whole number; give one"),
        ({"query": "x", "k": None}, "k: it is no whole number; give one"),
        ({"query": 3, "k": 0}, "query: it is no text; give a text. k: it is too small; give at least 1"),
        ({"query": "x", "where": 3}, "where: it is neither a text nor an object; give one of them"),
        ({"query": "x", "where": {"a": {"gtee": 3}}}, "where: a: no operator 'gtee'"),
    ],
)
def test_arguments_outside_the_schema_are_refused_in_the_form_of_our_errors(
    server: MCPServer[Any], arguments: dict[str, Any], why: str
) -> None:
    told = refused(server, "search", **arguments)
    assert told.startswith(f"search was not run. {why}")
    assert told.endswith(ARGUMENTS)
    assert not any(name in told for name in ("pydantic", "http", "validation", "searchArguments", "Input should"))


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ("x", "history: it is no list"),
        (["x"], "history.0: it is no object"),
        ([{"role": "user"}], "history.0.content: it is missing"),
        (
            [{"role": "system", "content": "x"}],
            "history.0.role: it is none of what is known; give 'user' or 'assistant'",
        ),
        ([{"role": "user", "content": "x", "name": "y"}], "history.0.name: there is no such field; leave it out"),
        ([{"role": "user", "content": LONG}], "history.0.content: it is too long; give at most 20,000 characters"),
        ([{"role": "user", "content": "x"}] * 101, "history: it has too many items; give at most 100"),
    ],
)
def test_turns_outside_the_schema_are_refused_by_their_place(server: MCPServer[Any], history: Any, why: str) -> None:
    assert refused(server, "answer", question="x", history=history).startswith(f"answer was not run. {why}")


def test_an_unknown_tool_is_refused_with_those_that_are_there(server: MCPServer[Any]) -> None:
    assert refused(server, "find") == "there is no tool 'find'. Call one of these: search, answer, get_document"


@pytest.mark.parametrize(
    "arguments",
    [
        {"where": {str(number): 0 for number in range(100_000)}},
        {"where": {"k" * 1_000_000: 0}},
        {"where": {"source": [{}] * 100_000}},
        {"history": [{"role": "user"}] * 100},
        {"history": [{str(number): 0 for number in range(100_000)}]},
        {"history": [{"role": "user", "content": "x" * 20_001}]},
    ],
    ids=["keys", "a long key", "values", "turns", "fields of a turn", "a long turn"],
)
def test_arguments_that_are_wrong_everywhere_get_a_short_answer(
    server: MCPServer[Any], arguments: dict[str, Any]
) -> None:
    assert len(refused(server, "answer", question="frames?", **arguments)) < 3_000


def test_a_tool_that_the_graph_cannot_serve_is_not_offered(index: Path) -> None:
    assert list(tools_of(create_server(load_pipeline("bm25", index=index)))) == ["search", "get_document"]
    closed = graph()
    closed["nodes"] = {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "small"}}}
    without_index = create_server(load_pipeline(closed))
    assert list(tools_of(without_index)) == ["answer"]
    assert "leave it out" in refused(without_index, "answer", question="x", where={"source": "texts/d01.md"})


def test_history_is_trimmed_by_tokens_and_put_by_turns(pipeline: Pipeline) -> None:
    """A word is a token of this model and a turn four more."""
    turns = [
        {"role": "assistant", "content": "welcome"},
        {"role": "user", "content": "oldest"},
        {"role": "assistant", "content": "dropped"},
        {"role": "user", "content": "How are FRAMES"},
        {"role": "user", "content": "made?"},
        {"role": "assistant", "content": "Brazed."},
        {"role": "user", "content": "unanswered"},
    ]
    server = create_server(pipeline, ServeSettings(history_tokens=13, question_tokens=8))
    called(server, "answer", question="and their warranty?", history=turns)
    [prompt] = pipeline.graph.models["small"].seen
    told = [turn.content for turn in prompt if turn.role != "system"]
    assert told[:2] == ["How are FRAMES\n\nmade?", "Brazed."]
    assert len(told) == 3
    assert "at most 8 are taken" in refused(server, "answer", question="one two three four five?")


class WakingLLM(ScriptedLLM):
    """Does not answer the first time."""

    awake = False

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        if not self.awake:
            self.awake = True
            raise MissingModel("http://secret.internal does not answer")
        return super().count_tokens(prompts)


def test_history_is_trimmed_by_a_guess_where_the_model_cannot_count(pipeline: Pipeline) -> None:
    model = WakingLLM(replies=("x",))
    pipeline.graph.parts["answer"].llm = model
    turns = [{"role": "user", "content": "x" * 9_000}, {"role": "assistant", "content": "y"}]
    called(create_server(pipeline), "answer", question="frames?", history=turns)
    assert "xxx" not in str(model.seen)


@pytest.mark.parametrize("error", [RuntimeError, KeyError, MissingModel, SpecError, StageError])
@pytest.mark.parametrize("tool", ["search", "answer", "get_document"])
def test_no_failure_tells_a_path_to_the_client_or_the_log(
    server: MCPServer[Any],
    pipeline: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tool: str,
    error: type[Exception],
) -> None:
    def broken(*given: Any, **more: Any) -> Any:
        raise error("/secret/place is full")

    place = {"search": "rag.pipeline.Pipeline.search", "answer": "rag.pipeline.Pipeline.stream"}
    monkeypatch.setattr(place.get(tool, "ragline_serve.mcp.server._document"), broken)
    caplog.set_level("DEBUG")
    given = {"search": {"query": "x"}, "answer": {"question": "x"}, "get_document": {"doc_id": "x"}}
    told = refused(server, tool, **given[tool])
    assert f"{tool} failed" in told
    seen = told + caplog.text
    assert error.__name__ in seen
    for secret in ("/secret/place", "Traceback", 'File "'):
        assert secret not in seen


def test_a_failure_names_the_node_and_its_kind_to_the_client_and_the_log(
    server: MCPServer[Any], pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(prompt: Prompt, params: SamplingParams) -> Any:
        raise RuntimeError("/secret/place is full")

    monkeypatch.setattr(pipeline.graph.models["small"], "stream", broken)
    error = refused(server, "answer", question="warranty of frames?")
    assert "node 'answer'" in error
    assert "call it and read the passages" in error
    assert "/secret/place" not in error
    assert "node 'answer' failed: RuntimeError" in caplog.text
    assert "/secret/place" not in caplog.text
    assert called(server, "search", query="frames")["hits"]


class Endless:
    """Writes until it is stopped, and tells both."""

    context_window = 4096

    def __init__(self) -> None:
        self.writing, self.stopped = threading.Event(), threading.Event()

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [1 for _ in prompts]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        return [Completion(text="x") for _ in prompts]

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        try:
            while True:
                self.writing.set()
                yield "again "
        finally:
            self.stopped.set()


def test_a_call_that_is_given_up_stops_the_model(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with load_pipeline(graph(), index=index) as pipeline:
        endless = Endless()
        monkeypatch.setattr(pipeline.graph.parts["answer"], "llm", endless)

        async def give_up() -> None:
            async with Client(create_server(pipeline)) as client, anyio.create_task_group() as tasks:
                tasks.start_soon(client.call_tool, "answer", {"question": "frames?"})
                assert await anyio.to_thread.run_sync(endless.writing.wait, 60)
                tasks.cancel_scope.cancel()

        asyncio.run(give_up())
        assert endless.stopped.wait(60)


def test_what_is_asked_is_kept_where_a_log_is(pipeline: Pipeline, tmp_path: Path) -> None:
    with closing(QuestionLog(tmp_path / "asked.db")) as log:
        server = create_server(pipeline, ServeSettings(model="notes"), asker=Asker(user="ann"), log=log)
        given = called(server, "answer", question="warranty of frames?")
        called(server, "search", query="warranty of frames")
        [entry] = log.entries()
    assert (entry.door, entry.graph, entry.user, entry.question) == ("mcp", "notes", "ann", "warranty of frames?")
    assert entry.answer == given["answer"]
    assert list(entry.passages) == [passage["doc_id"] for passage in given["passages"]]
    assert entry.seconds is not None
    assert entry.seconds > 0


def test_a_log_that_cannot_be_written_takes_no_answer(
    pipeline: Pipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(QuestionLog(tmp_path / "asked.db")) as log:
        server = create_server(pipeline, log=log)
        with sqlite3.connect(tmp_path / "asked.db") as other:
            for (table,) in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if not table.startswith("sqlite_"):
                    other.execute(f'DROP TABLE "{table}"')
        assert called(server, "answer", question="warranty of frames?")["answer"] == "It is so [1]."
    assert "a question was not kept: OperationalError" in caplog.text
