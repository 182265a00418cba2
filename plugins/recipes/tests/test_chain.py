"""Steps of a question: what is asked when, with which answers in it, and what follows from a step without one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rag import Query
from ragline_recipes.chain import ChainGenerator
from tests.generators.asking import Inner, Noting

QUESTION = Query(qid="q", text="Who was the first president of the publisher of J?", where={"lang": "en"})
KNOWN = {
    "Who publishes J?": "The Society.",
    "Who was the first president of The Society?": "Hall",
    "Where is J read?": "Rome",
    "When did Hall go to Rome?": "In 1920.",
}


def made(replies: Sequence[str], **params: int) -> tuple[ChainGenerator, Noting, Inner]:
    llm, inner = Noting(replies), Inner(KNOWN)
    return ChainGenerator(llm=llm, answers=inner, **params), llm, inner


def test_a_step_is_asked_once_what_it_refers_to_is_known_with_the_answer_in_it() -> None:
    plan = "Who publishes J?\nWho was the first president of #1?\nWhere is J read?\nWhen did #2 go to #3?"
    generator, llm, inner = made([plan, "In 1920. [4]"])
    [answer] = generator.generate([QUESTION])
    assert inner.asked == [
        ["Who publishes J?", "Where is J read?"],
        ["Who was the first president of The Society?"],
        ["When did Hall go to Rome?"],
    ]
    assert all(query.where == QUESTION.where for batch in inner.batches for query in batch)
    assert len(llm.read) == answer.usage.calls == 2
    assert "Question: Who was the first president of The Society?\nAnswer: Hall [3]" in llm.read[-1]
    assert [citation.doc_id for citation in answer.citations] == ["own of When did Hall go to Rome?"]
    assert answer.outcome.counts["asked"] == 4


@pytest.mark.parametrize("step", ["And #2?", "And #3?", "And #0?", "And #7?"])
def test_a_reference_to_itself_or_to_what_comes_later_is_left_out(step: str) -> None:
    generator, _, inner = made([f"Who publishes J?\n{step}\nWhere is J read?", "Rome. [1]"])
    [answer] = generator.generate([QUESTION])
    assert inner.asked == [["Who publishes J?", "Where is J read?"]]
    assert answer.outcome.counts["left_out"] == 1


def test_what_refers_to_a_step_without_an_answer_is_left_out() -> None:
    generator, llm, inner = made(["Who is D?\nWhere was #1?\nWho was with #2?\nWhere is J read?", "Rome. [1]"])
    [answer] = generator.generate([QUESTION])
    assert inner.asked == [["Who is D?", "Where is J read?"]]
    assert answer.outcome.counts["left_out"] == 2
    assert "Question: Who is D?\nAnswer: Nothing was found." in llm.read[-1]


def test_a_step_may_be_labelled_as_it_is_referred_to() -> None:
    generator, _, inner = made(["#1: Who publishes J?\n#2: Who was the first president of #1?", "Hall. [2]"])
    generator.generate([QUESTION])
    assert inner.asked == [["Who publishes J?"], ["Who was the first president of The Society?"]]


@pytest.mark.parametrize("plan", ["--", "Who is #1?\nWhere was #1 born?"])
def test_without_a_step_that_can_be_asked_first_the_question_itself_is_asked(plan: str) -> None:
    generator, _, inner = made([plan, "I don't know."])
    [answer] = generator.generate([QUESTION])
    assert inner.asked == [[QUESTION.text]]
    assert answer.outcome.kind == "fallback"
    assert answer.status == "no_answer"


def test_no_more_steps_than_allowed_and_none_beyond_the_budget() -> None:
    plan = "Who publishes J?\nWho was the first president of #1?\nWhere is J read?"
    assert made([plan, "x [1]"], steps=2)[0].generate([QUESTION])[0].outcome.counts["asked"] == 2
    generator, _, inner = made([plan, "The Society. [1]"])
    inner.runs = 1
    generator.generate([QUESTION])
    assert len(inner.batches) == 1


def test_steps_of_all_queries_that_are_ready_are_one_batch() -> None:
    plans = ["Who publishes J?\nWho was the first president of #1?", "Where is J read?"]
    generator, _, inner = made([*plans, "Hall. [2]", "Rome. [1]"])
    answers = generator.generate([QUESTION, Query(qid="r", text="Where?")])
    assert [[query.qid for query in batch] for batch in inner.batches] == [["q", "r"], ["q"]]
    assert [answer.qid for answer in answers] == ["q", "r"]
    assert generator.generate([]) == []
