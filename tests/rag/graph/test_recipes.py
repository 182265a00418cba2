"""Built-in graphs of recipes, with a scripted writer and BM25 alone: they run, and every step is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipe_graphs import TEXTS, calls, index_of_texts, lexical, ran


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index_of_texts(tmp_path_factory.mktemp("recipes"))


def test_snippets_and_an_answer_in_the_form_of_its_type(index: Path) -> None:
    replies = ["what splits lactose", '["Lactase splits lactose into glucose."]', "[]", '["lactase"]']
    graph = lexical("snippets", replies)
    graph["nodes"]["answer"]["with"]["kind"] = "factoid"
    result = ran(graph, index, "Which enzyme splits lactose? Not rain.")
    assert result.answers[0].text == "- lactase"
    assert calls(result) == {"wordings": 1, "snippets": 2, "answer": 1}, "two passages, and one snippet"
    assert [hit.document.text for hit in result.answers[0].context.passages] == [TEXTS[2]], (
        "the other has none and goes"
    )
    assert result.answers[0].outcome.kind in ("ok", "repaired")


def test_how_many_there_are(index: Path) -> None:
    plan = '{"operation": "count", "where": "source ~ \'texts/*\'", "text": "", "field": ""}'
    result = ran(lexical("tally", [plan]), index, "How many?")
    assert result.answers[0].text == "3 documents. [1] [2] [3]"
    assert calls(result) == {"answer": 1}
    assert {report.name: dict(report.counts) for report in result.nodes}["answer"]["matched"] == 3


def test_a_question_that_is_not_about_many_is_answered_as_usual(index: Path) -> None:
    replies = ['{"operation": "other"}', "The Aurora left. [1]"]
    result = ran(lexical("tally", replies), index, "Which ship left port?")
    assert result.answers[0].text == "The Aurora left. [1]"
    assert calls(result) == {"answer": 1, "answer/plain/answer": 1}
    assert result.answers[0].outcome.kind == "fallback"
