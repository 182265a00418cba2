"""`rag calibrate`, and the commands that read what it writes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from rag import build_index
from rag.cli import main

GRAPH = """
version: 1
models:
  writer: {use: llm.scripted, with: {replies: ["Thirty days [1]."]}}
nodes:
  first: {use: retrieve.bm25, k: 5}
  context: {use: assemble.token_budget, in: first, with: {llm: writer, max_passages: 1}}
  answer: {use: generate.cited, in: context, with: {llm: writer}}
output: answer
"""
SEARCH = "version: 1\nnodes:\n  first: {use: retrieve.bm25, k: 5}\noutput: first\n"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def lines(n: int, *, wrong: int = 4) -> list[dict[str, Any]]:
    """Every `wrong`th question has no answer, and shares one word with the notes."""
    return [
        {"id": f"q{i}", "question": f"leave {i} emperors ruled far Rome", "answerable": False, "answers": []}
        if i % wrong == 0
        else {
            "id": f"q{i}",
            "question": f"paid leave a year {i}",
            "answers": ["thirty days"],
            "supporting_ids": ["n/leave.md"],
        }
        for i in range(n)
    ]


@pytest.fixture
def place(tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a graph, an index of the notes, and 100 labelled questions."""
    folder = tmp_path / "n"
    folder.mkdir()
    (folder / "leave.md").write_text((notes / "leave.md").read_text())
    (folder / "keys.txt").write_text((notes / "keys.txt").read_text())
    build_index([folder], tmp_path / "idx", legs=("lexical",))
    (tmp_path / "g.yaml").write_text(GRAPH)
    (tmp_path / "s.yaml").write_text(SEARCH)
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(100)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_calibrated_then_asked_then_searched(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    code, out, err = run(
        capsys, "calibrate", "qa.jsonl", "--graph", "g.yaml", "--index", "idx", "--out", "c.json", "--risk", "0.1"
    )
    assert code == 0, err
    assert "100 questions of qa.jsonl, right: auto: confidence fit on 40, thresholds tested on 60" in out
    assert "<- chosen" in out
    assert "at most 0.1 of these answers are wrong (confidence 0.95)" in out
    assert "scores of node 'first' from" in out

    asked = ("--graph", "g.yaml", "--index", "idx", "--calibration", "c.json")
    code, out, _ = run(capsys, "ask", "paid leave a year 7", *asked)
    assert code == 0
    assert "Thirty days [1]." in out
    assert "Confidence: 0.9" in out
    code, out, _ = run(capsys, "ask", "leave 7 emperors ruled far Rome", *asked, "--json")
    answer = json.loads(out)
    assert (answer["status"], answer["answer"]) == ("no_answer", "I don't know.")
    assert answer["confidence"] < 0.5
    assert answer["outcome"]["counts"]["refused_by_risk"] == 1

    code, out, _ = run(capsys, "search", "paid leave", *asked)
    assert code == 0
    assert "relevance" in out.splitlines()[0]
    code, out, err = run(capsys, "search", "leave", *asked, "--min-relevance", "1")
    assert code == 2
    assert "tried with hits of relevance 0 or more, and 1 is asked for" in err


def test_a_graph_that_only_ranks_has_its_scores_calibrated(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    calibrate = ("calibrate", "qa.jsonl", "--graph", "s.yaml", "--index", "idx", "--out", "c.json", "--json")
    code, out, err = run(capsys, *calibrate)
    assert code == 0, err
    document = json.loads(out)
    assert document["answers"] is None
    assert document["hits"]["scale"]["relevance"][-1] > document["hits"]["scale"]["relevance"][0]
    search = ("search", "leave", "--graph", "s.yaml", "--index", "idx", "--calibration", "c.json", "--json")
    found = json.loads(run(capsys, *search)[1])["hits"]
    assert found
    assert all(0 <= hit["relevance"] <= 1 for hit in found)
    worth = max(hit["relevance"] for hit in found)
    few = json.loads(run(capsys, *search, "--min-relevance", str(min(1.0, worth + 0.001)))[1])["hits"]
    assert few == []


def test_a_risk_that_cannot_be_kept_is_said_and_exits_5(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    right = [
        {"id": f"q{i}", "question": "paid leave a year", "answers": ["ninety days" if i % 2 else "thirty days"]}
        for i in range(60)
    ]
    (place / "even.jsonl").write_text("".join(json.dumps(line) + "\n" for line in right))
    code, out, err = run(
        capsys, "calibrate", "even.jsonl", "--graph", "g.yaml", "--index", "idx", "--out", "c.json", "--risk", "0.1"
    )
    assert code == 5
    assert "<- chosen" not in out
    assert "no threshold keeps the share of wrong answers at 0.1 or less" in err
    assert "the least risk that can be kept is 0." in err
    code, _, err = run(capsys, "ask", "paid leave", "--graph", "g.yaml", "--index", "idx", "--calibration", "c.json")
    assert code == 2
    assert "no threshold keeps" in err


def test_a_calibrated_graph_is_evaluated_with_its_risk(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    data = tmp_path / "set"
    data.mkdir()
    corpus = [{"_id": f.name, "title": "", "text": f.read_text()} for f in sorted((place / "n").iterdir())]
    (data / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in corpus))
    asked = [{**line, "supporting_ids": ["leave.md"]} for line in lines(60)]
    (data / "qa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    run(capsys, "calibrate", "qa.jsonl", "--graph", "g.yaml", "--index", "idx", "--out", "c.json")
    evaluate = ("eval", str(data), "--graph", "g.yaml", "--out", "r", "--measures", "EM RefusedUnanswerable")
    code, out, err = run(capsys, *evaluate, "--calibration", "c.json")
    assert code == 0, err
    assert "95% bound" in out
    report = json.loads((place / "r" / "report.json").read_text())
    assert report["risk"][-1]["given"] == report["answers"]["status"]["answered"] == 45
    assert report["risk"][-1]["wrong"] == 0
    assert report["measures"]["RefusedUnanswerable"] == 1.0
    assert "risk" not in json.loads(run(capsys, *evaluate, "--json")[1])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--risk", "1"), "--risk must be between 0 and 1, got 1"),
        (("--least-coverage", "-1"), "--least-coverage must be from 0 to 1, got -1"),
        (("--out", "."), "cannot be written"),
        (("--min-relevance", "2"), "--min-relevance must be from 0 to 1, got 2"),
    ],
)
def test_wrong_wishes_are_refused(
    capsys: pytest.CaptureFixture[str], place: Path, arguments: tuple[str, ...], says: str
) -> None:
    code, _, err = run(
        capsys, "calibrate", "qa.jsonl", "--graph", "g.yaml", "--index", "idx", "--out", "c.json", *arguments
    )
    assert code == 2
    assert says in err


def test_an_estimate_needs_another_corpus(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    code, _, err = run(capsys, "calibrate", "--graph", "g.yaml", "--index", "idx", "--out", "c.json")
    assert code == 2
    assert "--other" in err


def corpus(place: Path, name: str, *, seed: int) -> None:
    """An index of thirty documents in a language of its own: no word of one corpus is in the other."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefghijklm" if seed else "nopqrstuvwxyz", k=7)) for _ in range(400)]
    (place / name).mkdir()
    for number in range(30):
        text = " ".join(chance.choices(words, k=60))
        (place / name / f"{number}.txt").write_text(f"{text[:200]}. {text[200:]}.\n")
    build_index([place / name], place / f"{name}-index", legs=("lexical",))


def test_without_labels_the_figure_is_an_estimate_and_says_so(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    corpus(place, "here", seed=0)
    corpus(place, "there", seed=1)
    (place / "log.txt").write_text("qqqqqqq rrrrrrr\naaaaaaa bbbbbbb\n")
    calibrate = ("calibrate", "--graph", "g.yaml", "--index", "here-index", "--other", "there-index", "--limit", "60")
    code, out, err = run(
        capsys, *calibrate, "--risk", "0.3", "--confidence", "0.8", "--out", "c.json", "--log", "log.txt"
    )
    assert code == 0, err
    assert "pseudo-questions, half of them of 'there-index'" in out
    assert "by estimate, and no more than that" in out
    assert "Of 2 questions of log.txt" in out
    assert "scores of node 'first' from" in out
    assert json.loads((place / "c.json").read_text())["answers"]["kind"] == "estimated"
