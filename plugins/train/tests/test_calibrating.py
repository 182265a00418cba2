"""How a calibration is made, and that a graph keeps to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag import build_index, load_pipeline
from rag.errors import SpecError
from rag.evaluate import RIGHT, Calibration, Choice, Item, Target
from rag.indexes import IndexSettings, LocalIndex
from rag.stages.risk.calibration import load_calibration
from ragline_train.calibration.calibrate import calibrate_graph, judged_hits, own_items
from retrievers.legs.dense.settings import DenseSettings
from tests.tiny_models import tiny_sentence_model

TARGET = Target(risk=0.4, confidence=0.8, least_coverage=0.1)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, documents: Any) -> Iterator[LocalIndex]:
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "texts").mkdir()
    for document in documents:
        (folder / "texts" / f"{document.doc_id}.md").write_text(f"# {document.title}\n\n{document.text}\n")
    dense = DenseSettings(encoder=str(tiny_sentence_model(folder / "encoder")))
    build_index([folder / "texts"], folder / "idx", settings=IndexSettings(dense=dense), legs=("lexical", "dense"))
    with LocalIndex.open(folder / "idx") as opened:
        yield opened


def graph(reply: str = "Thirty days of paid leave [1].") -> dict[str, Any]:
    return {
        "version": 1,
        "models": {"writer": {"use": "llm.scripted", "with": {"replies": [reply]}}},
        "nodes": {
            "first": {"use": "retrieve.bm25", "in": "query", "k": 5},
            "context": {"use": "assemble.token_budget", "in": "first", "with": {"llm": "writer", "max_passages": 2}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "writer"}},
        },
        "output": "answer",
    }


def items(n: int) -> list[Item]:
    """Half of the questions ask what the notes say, half what they do not, each in words of its own."""
    held = ["paid leave days", "ill before nine", "journey meals euros", "train journeys six hours", "weekly assembly"]
    sources = [f"texts/{name}.md" for name in ("d02", "d01", "d03", "d04", "d11")]
    made = []
    for place in range(n):
        if place % 2:
            made.append(Item(qid=str(place), question=f"days since emperor {place} of Rome reigned", answerable=False))
        else:
            at = place // 2 % 5
            made.append(Item(qid=str(place), question=f"{held[at]} {place}", supporting=(sources[at],)))
    return made


def test_a_graph_is_calibrated_saved_read_and_kept_to(index: LocalIndex, tmp_path: Path) -> None:
    asked = items(120)
    with load_pipeline(graph(), index=index) as pipeline:
        answers = calibrate_graph(pipeline, asked, right=RIGHT["passage"], target=TARGET, questions="made up", seed=1)
        hits = judged_hits(pipeline, asked, questions="made up")
        made = Calibration(made_for=pipeline.made_for(), hits=hits, answers=answers)
    assert answers.curve.n + answers.curve.n_fit == 120
    chosen = answers.choice()
    assert isinstance(chosen, Choice)
    assert chosen.bound <= 0.4
    made.save(tmp_path / "calibration.json")
    assert load_calibration(tmp_path / "calibration.json") == made
    assert answers.gate is not None
    assert answers.stopped > answers.stopped_right
    with load_pipeline(graph(), index=index, calibration=tmp_path / "calibration.json") as pipeline:
        given = [answer.status == "answered" for answer in pipeline.ask_batch([item.query for item in asked])]
    wrong = [item for item, said in zip(asked, given, strict=True) if said and not item.answerable]
    assert sum(given) >= 40
    assert len(wrong) / sum(given) <= 0.4


def test_the_same_seed_gives_the_same_file(index: LocalIndex) -> None:
    with load_pipeline(graph(), index=index) as pipeline:
        one, two, other = (
            calibrate_graph(pipeline, items(60), right=RIGHT["passage"], target=TARGET, questions="", seed=seed)
            for seed in (1, 1, 2)
        )
    assert one == two
    assert one.model != other.model


def test_a_graph_that_answers_nothing_cannot_be_calibrated(index: LocalIndex) -> None:
    with (
        load_pipeline(graph("I don't know."), index=index) as pipeline,
        pytest.raises(SpecError, match="0 of 24 questions were answered"),
    ):
        calibrate_graph(pipeline, items(60), right=RIGHT["passage"], target=TARGET, questions="")


def test_relevance_is_learnt_where_documents_are_known(index: LocalIndex) -> None:
    with load_pipeline(graph(), index=index) as pipeline:
        judged = judged_hits(pipeline, items(20), questions="made up")
        assert judged_hits(pipeline, [Item(qid="1", question="?")], questions="") is None
    assert judged is not None
    assert judged.node == "first"
    assert judged.scale.relevance[-1] > judged.scale.relevance[0]


def test_corpora_ask_themselves(index: LocalIndex, documents: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    asked = own_items(index, index, n=8, seed=1)
    assert [item.answerable for item in asked] == [True, False] * (len(asked) // 2)
    for item in asked:
        assert len(item.supporting) == item.answerable
        assert all(0 <= index.documents.row(doc_id) < len(index) for doc_id in item.supporting)
