"""Conversations made of steps: what is a follow-up, and what stands before it."""

from __future__ import annotations

import pytest

from benchmarks.conversation import WAYS, _of, graph, query
from rag.graph.check import check
from rag.graph.load import load_spec

ITEM = {
    "id": "x",
    "decomposition": [
        {"question": "Who wrote Brand?", "answer": "Ibsen", "context_id": "d1"},
        {"question": "Where was #1 born?", "answer": "Skien", "context_id": "d2"},
        {"question": "Which county is #2 's seat in, and what of #1 ?", "answer": "Telemark", "context_id": "d3"},
        {"question": "How large is #3 's capital?", "answer": "large", "context_id": "d4"},
    ],
}


def test_a_step_that_refers_to_the_answer_before_it_alone_is_a_follow_up() -> None:
    second, fourth = _of(ITEM)
    assert (second.qid, second.text, second.resolved, second.doc_id) == (
        "x-2",
        "Where was that person born?",
        "Where was Ibsen born?",
        "d2",
    )
    assert [(turn.role, turn.content) for turn in second.history] == [
        ("user", "Who wrote Brand?"),
        ("assistant", "Ibsen"),
    ]
    assert (fourth.qid, fourth.text, fourth.resolved) == (
        "x-4",
        "How large is its capital?",
        "How large is Telemark's capital?",
    )
    assert [turn.content for turn in fourth.history][2:4] == ["Where was Ibsen born?", "Skien"]


def test_each_way_asks_what_it_says() -> None:
    second, _ = _of(ITEM)
    assert query("raw", second).text == "Where was that person born?"
    assert query("raw", second).history == ()
    assert query("appended", second).text == "Who wrote Brand? Ibsen Where was that person born?"
    assert query("resolved", second).text == "Where was Ibsen born?"
    assert len(query("fused", second).history) == 2


@pytest.mark.parametrize("way", WAYS)
def test_the_graphs_are_sound(way: str) -> None:
    assert check(load_spec(graph(way, "smollm2-135m-instruct", "llama_cpp"))).problems == []
