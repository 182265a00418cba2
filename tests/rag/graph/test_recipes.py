"""Built-in graphs of recipes, with a scripted writer and BM25 alone: they run, and every step is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipe_graphs import calls, index_of_texts, lexical, ran


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index_of_texts(tmp_path_factory.mktemp("recipes"))


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
