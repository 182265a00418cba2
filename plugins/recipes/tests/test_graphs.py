"""Graphs of recipes, over a scripted model and words alone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rag import load_pipeline
from rag.cli import main
from rag.graphs import load_spec
from rag.writing import picked_of
from tests.recipe_graphs import TEXTS, calls, index_of_texts, lexical, ran


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index_of_texts(tmp_path_factory.mktemp("recipes"))


def test_a_reply_whose_claims_are_checked(index: Path) -> None:
    replies = ["none", "The Aurora left port at noon.", '["example", "The Aurora left port at noon."]', "It left."]
    result = ran(lexical("persuade", replies), index, "Why?")
    assert result.answers[0].text == "It left."
    assert calls(result) == {"reply": 4}
    assert "reply/evidence/bm25" in {report.name for report in result.nodes}
    assert result.answers[0].outcome.kind == "ok"


def reading(replies: Sequence[str]) -> dict[str, Any]:
    """A graph that reads passages for names of a type."""
    deep = {"bm25": {"use": "retrieve.bm25", "in": "query", "k": 1000}}
    read = {"use": "retrieve.mentions", "in": "query", "k": 1000}
    return {
        "version": 1,
        "models": {"reader": {"use": "llm.scripted", "with": {"replies": [*replies], "context_window": 100_000}}},
        "graphs": {"search": {"nodes": deep, "output": "bm25"}},
        "nodes": {"named": {**read, "with": {"llm": "reader", "inner": "search", "least": None}}},
        "output": "named",
    }


def test_the_built_in_graph_finds_by_names_and_by_what_passages_say_and_asks_no_model() -> None:
    graph = load_spec("mentions").graph
    assert not graph.models
    fused = graph.nodes[graph.output]
    assert {graph.nodes[name].use for name in fused.inputs} == {"retrieve.named", "retrieve.bm25", "retrieve.dense"}


LOSE = ("hybrid-icr", "hybrid-attention", "hyde-checked", "snippets", "multi-hop", "follow-up", "decoder-vectors")


@pytest.mark.parametrize("name", LOSE)
def test_a_graph_that_a_plain_search_beats_names_itself_its_model_and_a_figure(name: str) -> None:
    graph = load_spec(name).graph
    assert graph.note.startswith(f"graph {name}")
    assert re.search(r"with its model of \d+(\.\d+)?[MB]\b", graph.note)
    assert re.search(r"\[[-+.\d]+, [-+.\d]+\]|-?\.\d\d", graph.note)


def test_whoever_loads_it_is_told(index: Path, caplog: pytest.LogCaptureFixture) -> None:
    note = load_spec("follow-up").graph.note
    with load_pipeline(lexical("follow-up", ["none"]), index=index), load_pipeline("bm25", index=index):
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [note]


def test_all_that_is_named(index: Path) -> None:
    result = ran(reading(['["Aurora"]']), index, "ship: Aurora or another that left port")
    assert [(hit.document.text, picked_of(hit.document)[0]["text"]) for hit in result.rankings[0].hits] == [
        (TEXTS[0], "Aurora")
    ]
    assert {"named", "named/search/bm25"} <= {report.name for report in result.nodes}
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


def test_the_command_tells_the_names_and_how_sure_it_is(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mentions.yaml"
    file.write_text(json.dumps(reading(['["Aurora"]'])), encoding="utf-8")
    command = ["search", "ship: Aurora", "--index", str(index), "--graph", str(file), "--no-server"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert "picked out: Aurora" in told.out
    assert "found 1; read 1 of 3 passages and ended, as no candidate is left" in told.err
    assert main([*command, "--json"]) == 0
    [hit] = json.loads(capsys.readouterr().out)["hits"]
    assert [(span["start"], span["end"], span["text"]) for span in hit["spans"]] == [(4, 10, "Aurora")]
