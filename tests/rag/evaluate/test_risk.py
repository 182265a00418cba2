from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag.core.binomial import upper_bound
from rag.core.types import Answer, Context, Document, Query, ScoredDocument
from rag.evaluate.beir import Item
from rag.evaluate.right import RIGHT
from rag.evaluate.risk import draw_risk, risk_curve


def answer(qid: str, text: str, *, read: str = "d1#2", **more: Any) -> Answer:
    query = Query(qid=qid, text="?")
    hit = ScoredDocument(document=Document(doc_id=read, text="", metadata={"parent": read.split("#")[0]}), score=1.0)
    return Answer(query=query, text=text, context=Context(query=query, passages=(hit,)), **more)


class TestRight:
    def test_a_reference_is_in_the_answer_in_whole_words_and_in_order(self) -> None:
        item = Item(qid="q", question="?", answers=("Thirty days", "30"))
        contains = RIGHT["contains"]
        assert contains(answer("q", "You have the thirty DAYS, I think."), item, "en")
        assert contains(answer("q", "It is 30."), item, "en")
        assert not contains(answer("q", "It is 300 or days thirty."), item, "en")
        assert not contains(answer("q", "thirty days", status="no_answer"), item, "en")

    def test_references_that_are_nothing_but_an_article_are_no_reference(self) -> None:
        assert not RIGHT["contains"](answer("q", "Anything."), Item(qid="q", question="?", answers=("The",)), "en")

    def test_sentences_are_compared_by_their_words(self) -> None:
        item = Item(qid="q", question="?", answers=("one two three four five six seven eight nine ten",))
        assert RIGHT["f1"](answer("q", "one two"), item, "en")  # 2 * 2 / 12
        assert not RIGHT["f1"](answer("q", "one"), item, "en")  # 2 * 1 / 11
        assert not RIGHT["f1"](answer("q", "one"), Item(qid="q", question="?"), "en")

    def test_a_chunk_of_a_supporting_document_counts_as_it(self) -> None:
        item = Item(qid="q", question="?", supporting=("d1",))
        assert RIGHT["passage"](answer("q", "x"), item, "en")
        assert not RIGHT["passage"](answer("q", "x", read="d2#1"), item, "en")

    @pytest.mark.parametrize("name", RIGHT)
    def test_what_has_no_answer_has_no_right_one(self, name: str) -> None:
        item = Item(qid="q", question="?", answers=("x",), supporting=("d1",), answerable=False)
        assert not RIGHT[name](answer("q", "x"), item, "en")

    def test_auto_takes_what_is_known(self) -> None:
        auto = RIGHT["auto"]
        assert not auto(answer("q", "y"), Item(qid="q", question="?", answers=("x",), supporting=("d1",)), "en")
        assert auto(answer("q", "y"), Item(qid="q", question="?", supporting=("d1",)), "en")
        assert auto(answer("q", "y"), Item(qid="q", question="?"), "en")


ITEMS = [Item(qid=str(i), question="?", answers=("right",)) for i in range(10)]


def test_risk_grows_as_less_sure_answers_are_given() -> None:
    answers = [answer(str(i), "right" if i < 6 else "wrong", confidence=1 - i / 10) for i in range(8)]
    answers += [answer("8", "I don't know.", status="no_answer", confidence=0.1)]
    curve = risk_curve(answers, ITEMS)
    assert [(step.given, step.wrong) for step in curve][-3:] == [(6, 0), (7, 1), (8, 2)]
    assert curve[-1].coverage == 0.8
    assert curve[-1].risk == 0.25
    assert curve[-1].bound == upper_bound(2, 8, 0.95)
    assert len({step.given for step in curve}) == len(curve)


def test_answers_that_do_not_say_how_sure_they_are_have_no_curve() -> None:
    assert risk_curve([answer("1", "right")], ITEMS) == ()


def test_the_picture_is_drawn_and_the_same_every_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curve = risk_curve([answer(str(i), "right", confidence=1 - i / 10) for i in range(8)], ITEMS)
    draw_risk(curve, tmp_path / "risk.svg")
    first = (tmp_path / "risk.svg").read_bytes()
    draw_risk(curve, tmp_path / "risk.svg")
    assert b"<svg" in first
    assert (tmp_path / "risk.svg").read_bytes() == first
