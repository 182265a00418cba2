from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from plugins.train.benchmarks.risk import Tried, resampled, separation
from plugins.train.benchmarks.risk_sets import SETS, contains_alone, verdict
from rag.evaluate import Item
from rag.types import Answer, Context, Query


def answer(text: str) -> Answer:
    query = Query(qid="q", text="?")
    return Answer(query=query, text=text, context=Context(query=query))


def test_separation_is_worked_by_hand() -> None:
    assert separation([1.0, 2.0, 3.0, None], [False, True, True, True]) == 1.0
    assert separation([2.0, 2.0, 1.0], [True, False, False]) == 0.75
    assert separation([1.0], [True]) is None


def test_a_wrong_answer_beside_the_right_one_is_wrong() -> None:
    item = Item(qid="q", question="?", answers=("1912",), more={"wrong_answers": ["1895"]})
    assert contains_alone(answer("In 1912."), item, "en")
    assert not contains_alone(answer("In 1912 or 1895."), item, "en")


def test_the_first_verdict_counts() -> None:
    item = Item(qid="q", question="?", answers=("no",))
    assert verdict(answer("No, maybe not; yes."), item, "en")
    assert not verdict(answer("Yes. No."), item, "en")
    assert not verdict(answer("Nothing is known."), item, "en")


def test_the_promise_holds_when_it_is_tried() -> None:
    """Two hundred draws from answers whose only signal is a good one."""
    chance = random.Random(1)
    right = [chance.random() < 0.55 + (place % 10) / 20 for place in range(150)]
    known = Tried(
        answers=[answer("x")] * 150,
        right=right,
        before=[{"s": float(place % 10)} for place in range(150)],
        answerable=150,
        settings="",
    )
    found = resampled(known, 0.2)
    assert found["reached"] > 20
    assert found["broken"] <= 10


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_a_longer_draw_begins_with_the_shorter(name: str, eval_data: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RAGLINE_EVAL_DATA", str(eval_data))
    short, long = SETS[name](10), SETS[name](20)
    assert short.asked == long.asked[:10]
    assert short.documents == long.documents
    assert len({asked.item.qid for asked in long.asked}) == 20
