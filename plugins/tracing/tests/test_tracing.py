from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

import ragline_tracing as tracing
from plugins.serve.tests.asking import openai_client
from plugins.serve.tests.walled import MODEL
from rag import load_pipeline
from rag.batch.run import run_batch
from rag.cli import main
from rag.errors import SpecError, StageError
from rag.graphs import Pipeline
from rag.types import Document, Query, Ranking
from ragline_tracing.lines import provider_for
from tests.small_index import small_index

SECRET = "warranty"
"""A word of the question, the passages and the answer."""

GRAPH: dict[str, Any] = {
    "version": 1,
    "models": {"small": {"use": "llm.scripted", "with": {"replies": [f"The {SECRET} is ten years [1]."]}}},
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "in": "query", "k": 5},
        "also": {"use": "retrieve.bm25", "in": "query", "k": 4},
        "fused": {"use": "fuse.rrf", "in": ["bm25", "also"], "k": 4},
        "ranked": {"use": "rerank.query_likelihood", "in": "fused", "k": 3, "with": {"llm": "small"}},
        "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "small", "max_tokens": 120}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small"}},
    },
    "output": "answer",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> Path:
    return small_index(tmp_path_factory.mktemp("tracing"), documents)


def spans_of(path: Path) -> dict[str, dict[str, Any]]:
    """Spans by name; the last of each."""
    return {line["name"]: line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def traced(index: Path, path: Path, *, text: bool = False) -> dict[str, dict[str, Any]]:
    with tracing.to_file(path, text=text), load_pipeline(GRAPH, index=index) as pipeline:
        pipeline.ask(Query(qid="q1", text=f"How long is the {SECRET} of frames?"))
    return spans_of(path)


def test_every_node_and_every_call_of_a_model_has_a_span(index: Path, tmp_path: Path) -> None:
    spans = traced(index, tmp_path / "t.jsonl")
    assert set(spans) == {
        "run answer",
        "retrieval bm25",
        "retrieval also",
        "fuse fused",
        "rerank ranked",
        "score small",
        "assemble context",
        "generate answer",
        "chat small",
    }
    assert len({span["trace_id"] for span in spans.values()}) == 1
    run = spans["run answer"]
    assert run["parent_id"] is None
    parents = {"score small": "rerank ranked", "chat small": "generate answer"}
    for name, span in spans.items():
        if span is not run:
            assert span["parent_id"] == spans[parents.get(name, "run answer")]["span_id"], name
        assert 0 <= span["seconds"] <= run["seconds"]
        assert not span["error"]


def test_attributes_say_what_was_done(index: Path, tmp_path: Path) -> None:
    spans = {name: span["attributes"] for name, span in traced(index, tmp_path / "t.jsonl").items()}
    assert spans["run answer"]["ragline.qids"] == ["q1"]
    found = spans["retrieval bm25"]
    assert (found["gen_ai.operation.name"], found["ragline.component"]) == ("retrieval", "retrieve.bm25")
    assert (found["gen_ai.request.top_k"], found["ragline.outcome.ok"]) == (5.0, 1)
    ranked = spans["rerank ranked"]
    assert (ranked["ragline.k"], ranked["ragline.hits"], ranked["ragline.inputs"]) == (3, 2, ["fused"])
    asked = spans["chat small"]
    assert (asked["gen_ai.operation.name"], asked["gen_ai.provider.name"]) == ("chat", "scripted")
    assert asked["gen_ai.response.finish_reasons"] == ["stop"]
    assert asked["gen_ai.usage.input_tokens"] > 20
    assert asked["gen_ai.usage.output_tokens"] == 6
    assert spans["generate answer"]["gen_ai.usage.output_tokens"] == 6


def test_text_is_recorded_only_where_it_is_asked_for(index: Path, tmp_path: Path) -> None:
    traced(index, tmp_path / "quiet.jsonl")
    assert SECRET not in (tmp_path / "quiet.jsonl").read_text()
    spans = traced(index, tmp_path / "telling.jsonl", text=True)
    [call] = spans["chat small"]["events"]
    assert SECRET in call["gen_ai.input.messages"]
    assert SECRET in call["gen_ai.output.messages"]
    [ranking] = spans["rerank ranked"]["events"]
    assert [found["id"] for found in json.loads(ranking["gen_ai.retrieval.documents"])] == [
        "texts/d09.md#1",
        "texts/d06.md#1",
    ]


def test_a_stream_is_one_trace(index: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with tracing.to_file(path), load_pipeline(GRAPH, index=index) as pipeline:
        pieces = list(pipeline.stream("How long is it for frames?"))
    assert pieces[-1].answer is not None
    spans = spans_of(path)
    ask = spans["ask"]
    assert {span["trace_id"] for span in spans.values()} == {ask["trace_id"]}
    assert spans["generate answer"]["parent_id"] == ask["span_id"]
    assert spans["chat small"]["parent_id"] == spans["generate answer"]["span_id"]
    assert spans["chat small"]["attributes"]["gen_ai.request.stream"] is True
    assert spans["chat small"]["attributes"]["gen_ai.usage.output_tokens"] == 6
    assert spans["generate answer"]["attributes"]["gen_ai.response.time_to_first_chunk"] >= 0


def test_a_server_traces_what_it_gathers_and_streams(index: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with tracing.to_file(path), load_pipeline(GRAPH, index=index) as pipeline, openai_client(pipeline) as client:
        asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": "How long for frames?"}]}
        client.chat.completions.create(**asked)
        list(client.chat.completions.create(**asked, stream=True))
    spans = spans_of(path)
    assert {"run context", "run answer", "rerank ranked", "generate answer", "chat small"} <= set(spans)
    streamed = [span for span in map(json.loads, path.read_text().splitlines()) if span["name"] == "generate answer"]
    assert [span["attributes"].get("gen_ai.request.stream", False) for span in streamed] == [False, True]


def test_a_stream_that_is_closed_ends_its_spans(index: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with tracing.to_file(path), load_pipeline(GRAPH, index=index) as pipeline:
        pieces: Any = pipeline.stream("How long is it for frames?")
        next(pieces)
        pieces.close()
    spans = spans_of(path)
    for name in ("ask", "generate answer", "chat small"):
        assert spans[name]["attributes"]["ragline.stopped"] is True


class Broken:
    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        raise OSError(f"no room for the {SECRET}")


def test_a_node_that_fails_is_marked_without_its_message(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.jsonl"
    with tracing.to_file(path), load_pipeline(GRAPH, index=index) as pipeline:
        fail_at(pipeline, "ranked", monkeypatch)
        with pytest.raises(StageError):
            pipeline.ask("How long?")
    span = spans_of(path)["rerank ranked"]
    assert span["error"] is True
    assert span["attributes"]["error.type"] == "OSError"
    assert SECRET not in path.read_text()


def fail_at(pipeline: Pipeline, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    nodes = tuple(replace(node, work=Broken().rerank) if node.name == name else node for node in pipeline.graph.nodes)
    monkeypatch.setattr(pipeline, "graph", replace(pipeline.graph, nodes=nodes))


def test_the_callers_span_is_the_parent_also_over_threads(index: Path, tmp_path: Path) -> None:
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    questions = tmp_path / "q.jsonl"
    questions.write_text("".join(f'{{"id": "{i}", "question": "frames {i}"}}\n' for i in range(6)))
    with (
        tracing.to_provider(provider),
        load_pipeline(GRAPH, index=index) as pipeline,
        provider.get_tracer("theirs").start_as_current_span("outer") as outer,
    ):
        run_batch(questions, pipeline, out=tmp_path / "out", workers=2, batch=2)
    spans = memory.get_finished_spans()
    assert len([span for span in spans if span.name == "run answer"]) == 3
    assert {span.context.trace_id for span in spans if span.context} == {outer.get_span_context().trace_id}


def test_the_file_stays_small_and_its_lines_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    provider = provider_for(path, most_bytes=20_000)
    tracer = provider.get_tracer("test")

    def work(i: int) -> None:
        with tracer.start_as_current_span(f"span {i}") as span:
            span.set_attribute("long", "x" * 10_000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(40)))
    provider.shutdown()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["t.jsonl", "t.jsonl.1"]
    for file in files:
        assert 0 < file.stat().st_size <= 20_000
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        for line in file.read_text().splitlines():
            assert len(json.loads(line)["attributes"]["long"]) == 4_000


def test_two_that_find_the_file_full_at_once_lose_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one moves the file away, or tries to, in the moment in which the first one is about to."""
    path = tmp_path / "t.jsonl"
    providers = [provider_for(path, most_bytes=10_000) for _ in range(2)]
    first, second = (provider.get_tracer("test") for provider in providers)

    def write(tracer: Tracer, name: str) -> None:
        with tracer.start_as_current_span(name) as span:
            span.set_attribute("long", "x" * 4_000)

    write(first, "a")
    write(first, "b")
    plain = os.replace
    beside = threading.Thread(target=write, args=(second, "d"))

    def held(*given: Any) -> None:
        monkeypatch.setattr(os, "replace", plain)
        beside.start()
        beside.join(0.5)  # it gets as far as it can
        plain(*given)

    monkeypatch.setattr(os, "replace", held)
    write(first, "c")
    beside.join(60)
    for provider in providers:
        provider.shutdown()
    files = {file.name: file.read_text().splitlines() for file in tmp_path.iterdir()}
    names = {name: [json.loads(line)["name"] for line in lines] for name, lines in files.items()}
    assert {name: sorted(lines) for name, lines in names.items()} == {"t.jsonl.1": ["a", "b"], "t.jsonl": ["c", "d"]}


def test_lines_go_on_where_others_have_filled_two_files_since(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    providers = [provider_for(path, most_bytes=1_500) for _ in range(2)]
    quiet, busy = (provider.get_tracer("test") for provider in providers)
    for number in range(10):
        with busy.start_as_current_span(f"busy {number}") as span:
            span.set_attribute("long", "x" * 600)
    with quiet.start_as_current_span("quiet"):
        pass
    for provider in providers:
        provider.shutdown()
    assert "quiet" in path.read_text() + (tmp_path / "t.jsonl.1").read_text()


def test_a_file_that_cannot_be_written_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="traces cannot be written"), tracing.to_file(tmp_path / "absent" / "t.jsonl"):
        raise AssertionError("not reached")


def test_the_command_traces_by_switch_or_variable_and_appends(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.jsonl"
    command = ["search", SECRET, "--graph", "bm25", "--index", str(index)]
    assert main([*command, "--trace", str(path)]) == 0
    monkeypatch.setenv("RAGLINE_TRACE", str(path))
    monkeypatch.setenv("RAGLINE_TRACE_TEXT", "1")
    assert main(command) == 0
    lines = path.read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["retrieval bm25", "run bm25"] * 2
    assert [SECRET in line for line in lines] == [False, False, True, False]


def test_nothing_of_opentelemetry_is_imported_while_it_is_off(index: Path) -> None:
    """transformers and langsmith import it for themselves where it is installed; this search needs neither."""
    script = (
        "import sys; from rag.cli import main\n"
        f"code = main(['search', 'frames', '--graph', 'bm25', '--index', {str(index)!r}])\n"
        "loaded = [name for name in sys.modules if name.partition('.')[0] == 'opentelemetry']\n"
        "assert not loaded, loaded\n"
        "assert 'ragline_tracing.spans' not in sys.modules\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_off_leaves_models_and_streams_as_they_are(index: Path) -> None:
    with load_pipeline(GRAPH, index=index) as pipeline:
        assert "complete" not in vars(pipeline.graph.models["small"])
