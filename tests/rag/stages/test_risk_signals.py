from __future__ import annotations

import math

import numpy as np
import pytest

from rag.core.types import Answer, Citation, Context, Document, Query, Ranking, ScoredDocument, Verdict
from rag.stages.risk.signals import of_legs, of_meaning, of_passages, of_verdicts, of_words

PASSAGES = ("Frames are brazed from chromoly tubes. They are aligned.", "Wheels are trued.")


def hit(doc_id: str, score: float, text: str = "") -> ScoredDocument:
    return ScoredDocument(document=Document(doc_id=doc_id, text=text), score=score)


def answer(text: str, question: str = "What are brazed frames painted with?", **more: object) -> Answer:
    query = Query(qid="q", text=question)
    passages = tuple(hit(f"d{i}", 1.0, passage) for i, passage in enumerate(PASSAGES))
    return Answer(query=query, text=text, context=Context(query=query, passages=passages), **more)  # type: ignore[arg-type]


def ranking(*scores: float, ids: str = "abcdef") -> Ranking:
    return Ranking(query=Query(qid="q", text="?"), hits=tuple(hit(i, s) for i, s in zip(ids, scores, strict=False)))


class TestLegs:
    def test_values_are_those_worked_by_hand(self) -> None:
        found = of_legs({"lexical": ranking(5.0, 3.0, 1.0), "dense": ranking(0.9, 0.1, ids="bx")})
        spread = math.sqrt(8 / 3)
        assert found["lexical.top"] == 5.0
        assert found["lexical.lead"] == pytest.approx(2 / spread)
        assert found["lexical.peak"] == pytest.approx(2 / spread)
        assert found["dense.lead"] == pytest.approx(0.8 / 0.4)
        assert found["agreement"] == 0.5

    def test_one_hit_or_none_has_nothing_to_stand_out_from(self) -> None:
        found = of_legs({"lexical": ranking(), "dense": ranking(0.9)})
        assert found["lexical.top"] is found["lexical.lead"] is found["dense.peak"] is None
        assert found["dense.top"] == 0.9
        assert found["agreement"] == 0.0

    def test_one_leg_agrees_with_nobody(self) -> None:
        assert "agreement" not in of_legs({"lexical": ranking(2.0, 1.0)})


def test_the_question_is_looked_for_in_the_passages() -> None:
    found = of_passages(answer("Tin.").context)
    assert found["question.held"] == pytest.approx(2 / 3)  # brazed and frames, not painted
    assert found["question.shared"] == pytest.approx(2 / 3)
    assert of_passages(answer("Tin.", question="What is it?").context)["question.held"] is None


def test_the_nearest_sentence_counts() -> None:
    sentences = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    assert of_meaning(np.array([0, 1], dtype=np.float32), sentences) == {"question.near": pytest.approx(0.8)}
    assert of_meaning(np.zeros(2, dtype=np.float32), np.zeros((0, 2), dtype=np.float32)) == {"question.near": None}


class TestWords:
    def test_an_answer_out_of_a_passage(self) -> None:
        cited = (Citation(marker=1, doc_id="d0", start=15, end=18),)
        found = of_words(answer("Chromoly tubes [1].", citations=cited, likelihood=-0.5))
        assert found["answer.shared"] == 1.0
        assert found["both.shared"] == pytest.approx(4 / 5)  # chromoly, tubes, brazed, frames; not painted
        assert found["answer.new"] == 1.0
        assert found["answer.cited"] == 1.0
        assert found["answer.cut"] == 0.0
        assert found["likelihood"] == -0.5
        assert found["answer.length"] == pytest.approx(math.log(3 + 1), abs=0.4)

    def test_an_answer_that_only_repeats_the_question_says_nothing_new(self) -> None:
        found = of_words(answer("Brazed frames are painted.", finish_reason="length"))
        assert found["answer.new"] == 0.0
        assert found["answer.cut"] == 1.0
        assert found["answer.cited"] == 0.0

    def test_no_word_at_all(self) -> None:
        found = of_words(answer("..."))
        assert found["answer.new"] is None
        assert found["answer.shared"] == 0.0


def test_verdicts_of_each_means_stand_alone() -> None:
    verdicts = (
        Verdict(start=0, end=1, kind="similar", by="words", score=0.9, marker=1),
        Verdict(start=1, end=2, kind="unsupported", by="words", score=0.1),
        Verdict(start=0, end=1, kind="contradicted", by="pairs", score=-2.0, marker=1),
    )
    found = of_verdicts(answer("ab", verdicts=verdicts))
    assert found == {
        "words.score": pytest.approx(0.5),
        "words.least": 0.1,
        "words.against": 0.5,
        "pairs.score": -2.0,
        "pairs.least": -2.0,
        "pairs.against": 1.0,
    }
    assert of_verdicts(answer("ab")) == {}
