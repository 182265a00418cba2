from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from rag import build_index
from rag.cli import main
from rag.errors import IndexMismatch
from rag.indexes import IndexSettings, LocalIndex, SentenceEncoder
from rag.types import Query
from ragline_train.pseudo import Case, pseudo_cases, unjudged_cases
from ragline_train.taught import taught
from rerankers.attention.heads.head_sets import read_head_set
from retrievers.legs.dense.settings import DenseSettings
from retrievers.legs.lexical.retriever import BM25Retriever
from tests.generators.llm.conftest import save_random_model
from tests.tiny_models import tiny_sentence_model

SUBJECTS = ("valve", "frame", "bearing", "pump", "tube", "gauge", "belt", "filter", "seal", "motor", "drill", "lamp")
WORDS = [
    "plant",
    "keeps",
    "spare",
    "parts",
    "dry",
    "store",
    "main",
    "gate",
    "checks",
    "month",
    "order",
    "tool",
    "box",
    "shelf",
    "key",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    chance = random.Random(1)
    with (folder / "corpus.jsonl").open("w") as out:
        for number, subject in enumerate(SUBJECTS):
            text = " ".join([*chance.sample(WORDS, 14), subject, subject])
            out.write(json.dumps({"_id": f"d{number}", "title": "", "text": text}) + "\n")
    settings = IndexSettings(dense=DenseSettings(encoder=str(encoder)))
    build_index([folder / "corpus.jsonl"], folder / "idx", settings=settings)
    return folder / "idx"


@pytest.fixture(scope="module")
def cases(index: Path) -> list[Case]:
    with LocalIndex.open(index) as opened:
        return pseudo_cases(opened, n=4, depth=8)


def test_grades_are_what_both_legs_say_by_hand(index: Path, encoder: Path, cases: list[Case]) -> None:
    with LocalIndex.open(index) as opened:
        found = taught(opened, cases)
        asked = [Query(qid=case.query, text=case.query) for case in cases]
        searched = {each.qid: each for each in BM25Retriever(index=opened).retrieve(asked, k=12)}
    sentences = SentenceEncoder(model=str(encoder))
    assert len(found) == len(cases) == 4
    for case, before in zip(found, cases, strict=True):
        assert (case.query, case.candidates, case.taught) == (before.query, before.candidates, True)
        dense = (
            sentences.encode([each.text for each in case.candidates], role="document")
            @ sentences.encode([case.query], role="query")[0]
        )
        scores = {hit.doc_id: hit.score for hit in searched[case.query].hits}
        lexical = np.array([scores.get(each.doc_id, min(scores.values())) for each in case.candidates])
        both = 0.7 * (dense - dense.mean()) / dense.std()
        if len(set(lexical)) > 1:
            both = both + 0.3 * (lexical - lexical.mean()) / lexical.std()
        shares = np.exp(both / 0.5) / np.exp(both / 0.5).sum()
        given = np.array(case.grades)
        assert set(np.flatnonzero(given)) == set(np.flatnonzero(shares >= 1 / 8))
        np.testing.assert_allclose(given[given > 0], shares[given > 0], rtol=1e-4)


def test_an_index_of_one_leg_cannot_teach(tmp_path: Path, cases: list[Case]) -> None:
    (tmp_path / "a.txt").write_text("spare parts")
    build_index([tmp_path / "a.txt"], tmp_path / "idx", legs=("lexical",))
    with LocalIndex.open(tmp_path / "idx") as opened, pytest.raises(IndexMismatch, match="dense"):
        taught(opened, cases)


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ([], ", seed 0, graded by the index's lexical and dense leg"),
        (["--teacher", "source"], "(salient words of documents), seed 0"),
    ],
)
def test_the_index_teaches_where_it_has_both_legs(index: Path, tmp_path: Path, teacher: list[str], said: str) -> None:
    out = tmp_path / "heads.json"
    model = save_random_model(tmp_path / "model")
    given = ["--model", str(model), "--index", str(index), "--out", str(out), "--candidates", "6", "--depth", "1"]
    assert main(["heads", "find", *given, *teacher]) == 0
    assert read_head_set(out).found_on.endswith(said)


def test_what_people_asked_counts_once_and_nothing_of_it_is_judged(index: Path) -> None:
    texts = ["spare valve parts", "nothing of this", "pump", "spare valve parts", "main gate order"]
    queries = [Query(qid=str(at), text=text) for at, text in enumerate(texts)]
    with LocalIndex.open(index) as opened:
        cases = unjudged_cases(opened, queries, depth=5)
        hits = {each.query.text: each.doc_ids for each in BM25Retriever(index=opened).retrieve(queries, k=5)}
        graded = taught(opened, cases)
    assert hits["nothing of this"] == ()
    assert len(hits["pump"]) == 1  # nothing to rank
    assert [case.query for case in cases] == ["spare valve parts", "main gate order"]
    for case, after in zip(cases, graded, strict=True):
        assert tuple(each.doc_id for each in case.candidates) == hits[case.query]
        assert set(case.grades) == {0.0}
        assert max(after.grades) > 0


def test_heads_are_found_from_what_people_asked(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, out, model = tmp_path / "log.jsonl", tmp_path / "heads.json", save_random_model(tmp_path / "model")
    lines = [{"question": f"{one} {other}"} for one, other in zip(WORDS, [*SUBJECTS, *SUBJECTS], strict=False)]
    asked.write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = ["--model", str(model), "--index", str(index), "--out", str(out), "--candidates", "6", "--depth", "1"]
    assert main(["heads", "find", *given, "--queries", str(asked), "--cases", "12"]) == 0
    found_on = "12 queries of log.jsonl, seed 0, graded by the index's lexical and dense leg"
    assert read_head_set(out).found_on == found_on
    capsys.readouterr()
    assert main(["heads", "find", *given, "--queries", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["heads", "find", *given, "--queries", str(asked), "--qrels", str(tmp_path)])
