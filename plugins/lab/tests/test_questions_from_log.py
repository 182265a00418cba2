"""Rated answers become a test set."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from plugins.lab.tests.conftest import Command
from rag import SpecError, build_index
from rag.cli import main
from rag.evaluate import load_beir
from rag.files import Entry, QuestionLog
from rag.indexes import LocalIndex
from ragline_lab.questions.written import judged, write_rated


@pytest.fixture
def index(tmp_path: Path) -> Path:
    texts = {"a": "Leave is paid for thirty days.", "b": "A lost laptop is reported at once.", "c": "Nothing else."}
    lines = [json.dumps({"_id": doc_id, "text": text}) for doc_id, text in texts.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    build_index(tmp_path / "corpus.jsonl", tmp_path / "index", legs=("lexical",))
    return tmp_path / "index"


def entry(question: str, *cited: str, good: bool | None = True) -> Entry:
    return Entry(question=question, answer="So.", status="answered", cited=cited, good=good, user="ann", tenant="t")


def test_the_last_rating_counts_and_case_makes_no_other_question() -> None:
    entries = [
        entry("Is leave paid?", "a"),
        entry("is  LEAVE paid?", "a", "c", good=False),
        entry("Is leave paid?", "b", good=None),
        entry("What of a laptop?", "b", good=False),
    ]
    assert judged(entries) == {"Is leave paid?": {"a": 0, "c": 0}, "What of a laptop?": {"b": 0}}
    assert judged(entries[::-1])["is  LEAVE paid?"] == {"a": 1, "c": 0}


def test_a_set_is_written_and_evaluated(index: Path, tmp_path: Path) -> None:
    entries = [
        entry("Is leave paid?", "a", "gone"),
        entry("Is leave paid?", "c", good=False),
        entry("What of a laptop?", "b"),
        entry("What was there?", "gone"),
        entry("What is bad?", "c", good=False),
    ]
    with LocalIndex.open(index) as opened:
        report = write_rated(entries, opened, tmp_path / "set")
    assert (report.rated, report.questions, report.judgements, report.left_out) == (5, 2, 3, 2)
    data = load_beir(tmp_path / "set")
    assert data.qrels() == {"q1": {"a": 1, "c": 0}, "q2": {"b": 1}}
    assert "ann" not in "".join(path.read_text() for path in (tmp_path / "set").rglob("*.*"))
    assert (
        main(["eval", str(tmp_path / "set"), "--graph", "bm25", "--measures", "R@10", "--out", str(tmp_path / "run")])
        == 0
    )


def test_nothing_rated_good_and_a_folder_in_use_are_refused(index: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with LocalIndex.open(index) as opened:
        with pytest.raises(SpecError, match="of 1 rated answers no good one cites a passage of index"):
            write_rated([entry("What is bad?", "c", good=False)], opened, tmp_path / "set")
        with pytest.raises(SpecError, match="is not empty"):
            write_rated([entry("Is leave paid?", "a")], opened, tmp_path / "used")
    assert not (tmp_path / "set").exists()


def test_the_command(index: Path, tmp_path: Path, rag: Command) -> None:
    log = tmp_path / "log.db"
    with closing(QuestionLog(log)) as opened:
        opened.rate(opened.add(entry("Is leave paid?", "a", good=None)), good=True)
    asked = ["lab", "questions", "--index", str(index), "--out", str(tmp_path / "set")]
    code, said, errors = rag(*asked, "--from-log", log)
    assert code == 0, errors
    assert "1 rated answers: 1 questions with 1 judged passages" in said
    assert rag(*asked, "--from-log", tmp_path / "none")[0] == 2
    assert "leave out the model" in rag(*asked, "--from-log", log, "--model", "m")[2]


def test_a_gate_asks_and_weights_are_chosen_by_what_people_said(index: Path, tmp_path: Path, rag: Command) -> None:
    rated = [entry(f"Is {word} paid?", "a") for word in ("leave", "thirty", "days", "it for days", "leave in days")]
    rated += [entry(f"What of a {word}?", "b") for word in ("laptop", "report", "lost laptop", "laptop lost at once")]
    with LocalIndex.open(index) as opened:
        write_rated(rated, opened, tmp_path / "set")
    words = {use: {"use": "retrieve.bm25", "k": 5, "with": {"near": use == "near"}} for use in ("near", "plain")}
    fused = {"use": "fuse.weighted", "in": ["near", "plain"], "k": 5}
    fused |= {"with": {"norm": "max", "weights": {"near": 0.5, "plain": 0.5}}}
    graph = {"version": 1, "nodes": {**words, "fused": fused}, "output": "fused"}
    (tmp_path / "graph.yaml").write_text(json.dumps(graph))
    asked = {"dataset": "set", "graph": "graph.yaml", "measures": {"R@5": {"at_least": 0.9}}}
    (tmp_path / "gate.yaml").write_text(json.dumps({"version": 1, "checks": {"people": asked}}))
    code, said, errors = rag("lab", "gate", "--suite", tmp_path / "gate.yaml")
    assert (code, errors) == (0, ""), said + errors
    over = ["--over", "fused.weights.near=0.1:0.9:0.4", "--measures", "nDCG@10", "--out", tmp_path / "sweep"]
    code, said, errors = rag("lab", "sweep", tmp_path / "graph.yaml", "--dataset", tmp_path / "set", *over)
    assert code == 0, said + errors
    assert (tmp_path / "sweep" / "best.yaml").exists()
