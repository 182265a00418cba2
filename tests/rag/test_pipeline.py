from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from rag.errors import SpecError, StageError
from rag.graph.build import build
from rag.graph.spec import load_spec
from rag.pipeline import Pipeline, load_pipeline
from rag.types import Answer, Context, Message, Query


def closed_book(*replies: str) -> dict[str, Any]:
    return {
        "version": 1,
        "models": {"m": {"use": "llm.scripted", "with": {"replies": list(replies)}}},
        "nodes": {"answer": {"use": "generate.closed_book", "with": {"llm": "m"}}},
        "output": "answer",
    }


def test_asking_streaming_and_batches_give_the_same_answer() -> None:
    with load_pipeline(closed_book("Paris.")) as pipeline:
        assert pipeline.ask("capital?").text == "Paris."
        pieces = list(pipeline.stream("capital?"))
        assert "".join(p.text for p in pieces) == "Paris."
        assert pieces[-1].answer is not None
        assert pieces[-1].answer.text == "Paris."
        assert [a.qid for a in pipeline.ask_batch(["a", Query(qid="x", text="b")])] == ["1", "x"]


class Silent:
    """Answers at once or not at all."""

    def generate(self, queries: Sequence[Query]) -> list[Answer]:
        return [Answer(query=q, text="Paris.", context=Context(query=q)) for q in queries]


def test_a_generator_that_cannot_stream_gives_its_text_in_one_piece() -> None:
    graph = build(load_spec(closed_book("x")))
    silent = Silent()
    nodes = tuple(replace(node, work=silent.generate) for node in graph.nodes)
    pieces = list(Pipeline(replace(graph, nodes=nodes, parts={"answer": silent})).stream("capital?"))
    assert [p.text for p in pieces] == ["Paris.", ""]
    assert pieces[-1].answer is not None


def test_history_reaches_the_model() -> None:
    pipeline = load_pipeline(closed_book("Paris."))
    pipeline.ask("and of France?", history=[Message(role="user", content="capital of Spain?")])
    assert any("capital of Spain?" in m.content for prompt in pipeline.graph.models["m"].seen for m in prompt)


def test_an_empty_reply_is_a_failed_answer_not_an_error() -> None:
    answer = load_pipeline(closed_book("  ")).ask("capital?")
    assert answer.status == "failed"
    assert answer.outcome.kind == "failed"


def test_an_answer_graph_that_ranks_nothing_cannot_search() -> None:
    with pytest.raises(SpecError, match="no node of this graph ranks"):
        load_pipeline(closed_book("x")).search("q")


def test_a_failure_while_streaming_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = load_pipeline(closed_book("x"))

    def broken(query: Query) -> Any:
        yield from ()
        raise RuntimeError("out of ink")

    monkeypatch.setattr(pipeline.graph.parts["answer"], "stream", broken)
    with pytest.raises(StageError, match=r"node 'answer' \(generate.closed_book\) failed while streaming: out of ink"):
        list(pipeline.stream("q"))


def test_a_pipeline_made_by_hand_can_be_closed_twice() -> None:
    pipeline = Pipeline(build(load_spec(closed_book("x"))))
    pipeline.close()
    pipeline.close()
    assert pipeline.ask("q").text == "x"
