"""Who records what graphs do, without any plug-in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rag import tracing
from rag.cli import main
from rag.core import plugins
from rag.core.types import Document, Query
from rag.pipeline import load_pipeline
from tests.small_index import small_index

GRAPH: dict[str, Any] = {
    "version": 1,
    "models": {"small": {"use": "llm.scripted", "with": {"replies": ["Ten years [1]."]}}},
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "in": "query", "k": 5},
        "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "small"}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small"}},
    },
    "output": "answer",
}


class Noting:
    """A recorder that notes what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def running(self, nodes: Sequence[tracing.BoundNode], queries: Sequence[Query], output: str) -> Iterator[Any]:
        yield lambda result: self.notes.append(f"ran {output}: {len(result.queries)}")

    @contextmanager
    def working(self, node: tracing.BoundNode, n_in: int, k: int | None) -> Iterator[Any]:
        yield lambda report, records, failures: self.notes.append(f"{node.use}: {n_in} in, {report.n_out} out")

    def streaming(self, node: tracing.BoundNode, before: Any, pieces: Iterator[Any]) -> Iterator[Any]:
        self.notes.append(f"streams {node.name}")
        return pieces

    def asking(self, query: Query, pieces: Iterator[Any]) -> Iterator[Any]:
        self.notes.append(f"asks {query.text}")
        return pieces

    def watch(self, model: Any, name: str, part: Any) -> None:
        self.notes.append(f"watches {name}, {part.use}")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_index(tmp_path_factory.mktemp("index"), [Document(doc_id="a", text="The warranty is ten years.")])


def test_a_recorder_is_told_of_models_batches_nodes_and_streams(index: Path) -> None:
    noting = Noting()
    with tracing.recording(noting), load_pipeline(GRAPH, index=index) as pipeline:
        assert tracing.recorder() is noting
        pipeline.ask("warranty")
        told, noting.notes = noting.notes, []
        list(pipeline.stream("warranty"))
    assert told == [
        "watches small, llm.scripted",
        "retrieve.bm25: 1 in, 1 out",
        "assemble.token_budget: 1 in, 1 out",
        "generate.cited: 1 in, 1 out",
        "ran answer: 1",
    ]
    assert "asks warranty" in noting.notes
    assert "streams answer" in noting.notes
    assert tracing.recorder() is None


def test_off_leaves_streams_and_batches_as_they_are() -> None:
    pieces: Any = iter(())
    assert tracing.asking(Query(qid="1", text="x"), pieces) is pieces
    assert tracing.running((), (), "x") is tracing.running((), (), "y")


def test_the_command_says_which_plugin_traces(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "all_shipped", dict)
    plugins.shipped.cache_clear()
    monkeypatch.setattr(tracing.TRACES, "_table", {})
    words = ["search", "warranty", "--graph", "bm25", "--index", str(index), "--trace", str(tmp_path / "t.jsonl")]
    try:
        assert main(words) != 0
    finally:
        plugins.shipped.cache_clear()
    assert "pip install ./plugins/tracing" in capsys.readouterr().err
