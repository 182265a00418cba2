"""Built-in graphs of recipes, with a scripted writer and BM25 alone: they run, and every step is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import main
from rag.core.picked import picked_of
from tests.recipe_graphs import TEXTS, calls, index_of_texts, lexical, ran


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index_of_texts(tmp_path_factory.mktemp("recipes"))


def test_all_that_is_named(index: Path) -> None:
    graph = lexical("mentions", ['["Aurora"]'])
    graph["nodes"]["named"]["with"]["least"] = None
    result = ran(graph, index, "ship: Aurora or another that left port")
    assert [(hit.document.text, picked_of(hit.document)[0]["text"]) for hit in result.rankings[0].hits] == [
        (TEXTS[0], "Aurora")
    ]
    assert {"named", "named/search/bm25", "named/search/fused"} <= {report.name for report in result.nodes}
    read = result.rankings[0].outcome.counts["read"]
    assert calls(result) == {"named": read}


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


def test_the_command_tells_the_names_and_how_sure_it_is(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = lexical("mentions", ['["Aurora"]'])
    graph["nodes"]["named"]["with"]["least"] = None
    file = tmp_path / "mentions.yaml"
    file.write_text(json.dumps(graph), encoding="utf-8")
    command = ["search", "ship: Aurora", "--index", str(index), "--graph", str(file), "--no-server"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert "picked out: Aurora" in told.out
    assert "found 1; read 1 of 3 passages and ended, as no candidate is left" in told.err
    assert main([*command, "--json"]) == 0
    [hit] = json.loads(capsys.readouterr().out)["hits"]
    assert [(span["start"], span["end"], span["text"]) for span in hit["spans"]] == [(4, 10, "Aurora")]
