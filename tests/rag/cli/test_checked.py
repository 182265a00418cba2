"""What the command line says of checked answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import main
from rag.cli.ask import _tally, _words_of
from rag.core.types import Verdict
from rag.pipeline.as_json import verdict_json

GRAPH = """\
version: 1
models:
  writer: {use: llm.scripted, with: {replies: ["Everyone has thirty days of paid leave [1]. Pigs \\e[31mfly."]}}
nodes:
  bm25: {use: retrieve.bm25, in: query, k: 2}
  context: {use: assemble.token_budget, in: bm25, with: {llm: writer}}
  answer: {use: generate.cited, in: context, with: {llm: writer}}
  checked: {use: check.words, in: answer}
output: checked
"""


@pytest.fixture
def asked(lexical_index: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "g.yaml").write_text(GRAPH)
    return ["ask", "How many days of leave?", "--index", str(lexical_index), "--graph", str(tmp_path / "g.yaml")]


def test_sentences_that_no_passage_supports_are_listed(capsys: pytest.CaptureFixture[str], asked: list[str]) -> None:
    assert main(asked) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    told = "The words of 1 of 2 sentences stand in passage 1, 1 is not in the passages;"
    place = lines.index(f"{told} whether they answer the question was not checked.")
    assert lines[place + 1].startswith("  not in the passages: Pigs ")
    assert "\x1b" not in lines[place + 1]
    assert "supported" not in "\n".join(lines[place:])
    assert shown.err.splitlines() == ["Opening the index ...", "Reading 1 passage ..."]


def test_what_was_found_is_told_before_it_is_ranked_and_read(
    capsys: pytest.CaptureFixture[str], asked: list[str], tmp_path: Path
) -> None:
    ranked = GRAPH.replace(
        "  context: {use: assemble.token_budget, in: bm25,",
        "  best: {use: rerank.distinct, in: bm25, k: 1}\n  context: {use: assemble.token_budget, in: best,",
    )
    (tmp_path / "g.yaml").write_text(ranked)
    assert main(asked) == 0
    opening, found, reading = capsys.readouterr().err.splitlines()
    assert opening == "Opening the index ..."
    assert found == "Found 1 passage: Leave ..."
    assert reading == "Reading 1 passage ..."
    assert main([*asked, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_why_nothing_was_answered_is_told(capsys: pytest.CaptureFixture[str], asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(
        GRAPH.replace("llm: writer}}\n  checked", "llm: writer, right_kind: true}}\n  checked")
    )
    assert main([*asked[:1], "What is the phone number for leave?", *asked[2:]]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "I don't know.\n\nDeclined: the question asks for a telephone number, and the answer has none.\n"
    )
    (tmp_path / "g.yaml").write_text(GRAPH)
    assert main(asked) == 0
    assert "Declined" not in capsys.readouterr().out


def test_they_are_in_the_json(capsys: pytest.CaptureFixture[str], asked: list[str]) -> None:
    assert main([*asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    first, second = document["verdicts"]
    assert (first["kind"], first["by"], first["marker"], second["kind"]) == ("similar", "words", 1, "unsupported")
    assert document["answer"][first["start"] : first["end"]] == "Everyone has thirty days of paid leave [1]."


@pytest.mark.parametrize(
    ("kind", "by", "marker", "words"),
    [
        ("similar", "words", 1, "similar words"),
        ("similar", "model", 1, "similar"),
        ("supported", "model", 1, "supported"),
        ("contradicted", "nli", 2, "contradicted by [2]"),
        ("unsupported", "nli", None, "not in the passages"),
    ],
)
def test_supported_is_said_only_where_the_verdict_says_so(kind: str, by: str, marker: int | None, words: str) -> None:
    verdict = Verdict(start=0, end=1, kind=kind, by=by, score=1.0, marker=marker)  # type: ignore[arg-type]
    assert _words_of(verdict_json(verdict)) == words


@pytest.mark.parametrize(
    ("verdicts", "line"),
    [
        ([("similar", "words", 2)], "Its words stand in passage 2; whether it answers the question was not checked."),
        (
            [("similar", "words", 2), ("similar", "words", 1)],
            "The words of 2 of 2 sentences stand in passages 1, 2; whether they answer the question was not checked.",
        ),
        ([("unsupported", "words", None)], "1 of 1 sentence is not in the passages (checked by words)."),
        ([("supported", "nli", 1)], "1 of 1 sentence is supported by a passage (checked by nli)."),
    ],
)
def test_the_line_below_says_what_was_looked_at_and_no_more(
    verdicts: list[tuple[str, str, int | None]], line: str
) -> None:
    told = [{"kind": kind, "by": by, "marker": marker} for kind, by, marker in verdicts]
    assert _tally(told) == line
