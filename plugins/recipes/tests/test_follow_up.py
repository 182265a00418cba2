"""Follow-up questions: the calls, their order, what is told from round to round, and what is cited in the end."""

from __future__ import annotations

from collections.abc import Sequence

from rag import Query
from ragline_recipes.follow_up import FollowUpGenerator
from tests.generators.asking import Inner, Noting

QUESTION = Query(qid="q", text="Which of the two is older?", where={"lang": "en"})


def made(replies: Sequence[str], knows: dict[str, str], **params: int) -> tuple[FollowUpGenerator, Noting, Inner]:
    llm, inner = Noting(replies), Inner(knows)
    return FollowUpGenerator(llm=llm, answers=inner, **params), llm, inner


KNOWN = {"How old is A?": "A is 3.", "How old is B?": "B is 5.", "Is C younger?": "C is 1."}


def test_rounds_times_questions_runs_and_one_call_a_round_and_one_more() -> None:
    replies = ["How old is A?\nHow old is B?", "Is C younger?\nWho is D?", "B is older. [2]"]
    generator, llm, inner = made(replies, KNOWN, rounds=2, questions=2)
    [answer] = generator.generate([QUESTION])
    assert inner.asked == [
        ["How old is A?", "How old is B?"],
        ["Is C younger?", "Who is D?"],
    ]
    assert all(query.where == QUESTION.where and query.qid == "q" for batch in inner.batches for query in batch)
    assert len(llm.read) == answer.usage.calls == 3
    assert answer.text == "B is older. [2]"
    assert [citation.doc_id for citation in answer.citations] == ["own of How old is B?"]
    assert [hit.doc_id for hit in answer.context.passages] == [
        "own of How old is A?",
        "own of How old is B?",
        "own of Is C younger?",
    ]
    assert {name: answer.outcome.counts[name] for name in ("rounds", "asked", "unanswered")} == {
        "rounds": 2,
        "asked": 4,
        "unanswered": 1,
    }


def test_what_is_known_is_told_to_the_next_round_and_to_the_answer_by_the_numbers_of_all_passages() -> None:
    generator, llm, _ = made(["How old is A?\nHow old is B?", "Who is D?", "B. [2]"], KNOWN, rounds=2, questions=2)
    generator.generate([QUESTION])
    first, second, last = llm.read
    assert "Nothing yet." in first
    assert "Question: How old is A?\nAnswer: A is 3. [1]" in second
    assert "Question: How old is B?\nAnswer: B is 5. [2]" in second
    assert "Question: Who is D?\nAnswer: Nothing was found." in last
    assert QUESTION.text in last


def test_a_question_is_asked_once_and_a_round_without_a_new_one_is_the_last() -> None:
    generator, llm, inner = made(["How old is A?", "1. how old is a?", "A. [1]"], KNOWN, rounds=4)
    [answer] = generator.generate([QUESTION])
    assert len(inner.batches[0]) == 1
    assert sum(map(len, inner.batches)) == 1
    assert len(llm.read) == 3, "two rounds and the answer"
    assert answer.outcome.counts["repeated"] == 1
    assert answer.outcome.counts["rounds"] == 2


def test_without_any_follow_up_the_question_itself_is_asked() -> None:
    generator, llm, inner = made(["!!", "A. [1]"], {QUESTION.text: "A is."}, rounds=4)
    [answer] = generator.generate([QUESTION])
    assert [query.text for batch in inner.batches for query in batch] == [QUESTION.text]
    assert answer.outcome.kind == "fallback"
    assert answer.text == "A. [1]"
    assert len(llm.read) == 2


def test_where_nothing_was_found_it_declines_without_another_call() -> None:
    generator, llm, _ = made(["Who is D?"], {}, rounds=1)
    [answer] = generator.generate([QUESTION])
    assert answer.status == "no_answer"
    assert len(llm.read) == 1


def test_a_spent_budget_ends_the_rounds_and_the_answer_is_still_written() -> None:
    generator, llm, inner = made(["How old is A?", "A. [1]"], KNOWN, rounds=4)
    inner.runs = 1
    [answer] = generator.generate([QUESTION])
    assert answer.text == "A. [1]"
    assert len(llm.read) == 2


def test_all_questions_of_a_round_of_all_queries_are_one_batch() -> None:
    generator, _, inner = made(["How old is A?", "How old is B?", "A. [1]", "B. [1]"], KNOWN, rounds=1)
    answers = generator.generate([QUESTION, Query(qid="r", text="And how old?")])
    assert [[query.qid for query in batch] for batch in inner.batches] == [["q", "r"]]
    assert [answer.qid for answer in answers] == ["q", "r"]
