"""Weights of lists, learnt without judgements: worked by hand, and by the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rag import build_index
from rag.cli import main
from rag.errors import SpecError
from rag.files import Entry, QuestionLog
from rag.indexes import IndexSettings
from rag.types import Document, Query, Ranking, ScoredDocument
from ragline_train.leg_weights import agreement, leg_weights
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.late_interaction.settings import LateInteractionSettings
from tests.tiny_models import tiny_sentence_model


def ranking(qid: str, doc_ids: Sequence[str]) -> Ranking:
    hits = tuple(
        ScoredDocument(document=Document(doc_id=doc_id, text=""), score=-float(at)) for at, doc_id in enumerate(doc_ids)
    )
    return Ranking(query=Query(qid=qid, text="q"), hits=hits)


def test_agreement_worked_by_hand() -> None:
    one, other = [ranking("1", ["d1", "d2", "d3"])], [ranking("1", ["d3", "d1", "d4"])]
    assert agreement(one, other) == agreement(other, one) == pytest.approx(0.4722, abs=1e-4)
    assert agreement(one, one) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert agreement(one, [ranking("1", [])]) == 0
    assert agreement(one, [ranking("2", ["d1"])]) == 0, "another question"


def test_who_agrees_with_the_judge_is_trusted() -> None:
    judge = [ranking("1", "abcdef"), ranking("2", "fedcba")]
    lists = {"good": judge, "bad": [ranking("1", "xyzabc"), ranking("2", "xyzfed")], "judge": judge}
    weights = {each.source: each for each in leg_weights(lists, judge="judge")}
    good, bad = weights["good"], weights["bad"]
    assert sum(each.weight for each in weights.values()) == pytest.approx(1)
    assert good.weight / bad.weight == pytest.approx((good.agreement / bad.agreement) ** 3)
    assert weights["judge"].agreement == pytest.approx((good.agreement + bad.agreement) / 2)
    twice = {each.source: each.weight for each in leg_weights(lists, judge="judge", prior={"bad": 2.0})}
    assert twice["bad"] / twice["good"] == pytest.approx(2 * bad.weight / good.weight)


def test_what_cannot_be_learnt_is_said() -> None:
    some = [ranking("1", "ab")]
    with pytest.raises(SpecError, match="a judge and at least two lists beside it"):
        leg_weights({"a": some, "judge": some}, judge="judge")
    with pytest.raises(SpecError, match="these questions say nothing"):
        leg_weights({"a": some, "b": some, "judge": [ranking("1", "xy")]}, judge="judge")


GRAPH = """
version: 1
nodes:
  words: {use: retrieve.bm25, k: 10}
  vectors: {use: retrieve.dense, k: 10}
  tokens: {use: retrieve.late_interaction, k: 10}
  found: {use: fuse.weighted, in: [words, vectors, tokens], k: 5, with: {norm: z_score}}
output: found
"""


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path: Path, documents: tuple[Document, ...]) -> Path:
        texts = tmp_path / "texts"
        texts.mkdir()
        for document in documents:
            (texts / f"{document.doc_id}.md").write_text(f"# {document.title}\n\n{document.text}\n")
        model = str(tiny_sentence_model(tmp_path / "model"))
        settings = IndexSettings(
            dense=DenseSettings(encoder=model), late_interaction=LateInteractionSettings(model=model)
        )
        build_index([texts], tmp_path / "idx", settings=settings, legs=("lexical", "dense", "late_interaction"))
        (tmp_path / "graph.yaml").write_text(GRAPH)
        (tmp_path / "questions.txt").write_text("days of leave\nsteel frames\n")
        return tmp_path

    def weigh(self, folder: Path, *more: str) -> int:
        given = ["--graph", str(folder / "graph.yaml"), "--index", str(folder / "idx"), *more]
        return main(["weigh", str(folder / "questions.txt"), *given])

    def test_it_prints_weights_that_a_graph_takes(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.weigh(folder, "--json") == 0
        told: Any = json.loads(capsys.readouterr().out)
        assert (told["node"], told["judge"], told["questions"]) == ("found", "tokens", 2)
        weights = {source: each["weight"] for source, each in told["lists"].items()}
        assert sum(weights.values()) == pytest.approx(1)
        graph = GRAPH.replace("{norm: z_score}", json.dumps({"norm": "z_score", "weights": weights}))
        (folder / "graph.yaml").write_text(graph)
        assert main(["search", "leave", "--graph", str(folder / "graph.yaml"), "--index", str(folder / "idx")]) == 0
        capsys.readouterr()
        assert self.weigh(folder) == 0
        assert "2 questions, no judgements; lists of 'found', judged by 'tokens'" in capsys.readouterr().out

    def test_questions_of_a_log_are_read(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with closing(QuestionLog(folder / "asked.db")) as log:
            for question in ("days of leave", "steel frames"):
                log.add(Entry(question=question, answer="So.", status="answered"))
        assert main(["log", str(folder / "asked.db"), "--json"]) == 0
        (folder / "asked.jsonl").write_text(capsys.readouterr().out)
        told = []
        for name in ("asked.jsonl", "questions.txt"):
            graph, place = str(folder / "graph.yaml"), str(folder / "idx")
            assert main(["weigh", str(folder / name), "--graph", graph, "--index", place, "--json"]) == 0
            told.append(json.loads(capsys.readouterr().out)["lists"])
        assert told[0] == told[1]

    def test_a_graph_without_a_judge_is_refused(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        graph = (folder / "graph.yaml").read_text().replace("retrieve.late_interaction", "retrieve.bm25")
        (folder / "graph.yaml").write_text(graph)
        assert self.weigh(folder) == 2
        assert "none of the lists words, vectors, tokens is by retrieve.late_interaction" in capsys.readouterr().err

    def test_no_questions_is_said(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "questions.txt").write_text("\n")
        assert self.weigh(folder) == 2
        assert "has no questions" in capsys.readouterr().err
