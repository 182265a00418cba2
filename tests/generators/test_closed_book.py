from __future__ import annotations

from typing import Any

import pytest

from generators.closed_book import ClosedBookGenerator
from generators.llm.scripted import ScriptedLLM
from rag.core.types import Message, Query

QUERIES = [Query(qid="a", text="Why?"), Query(qid="b", text="rewritten", original="How?")]


def test_questions_are_answered_without_passages() -> None:
    llm = ScriptedLLM(replies=("Because [1].", "I don't know."))
    first, second = ClosedBookGenerator(llm=llm).generate(QUERIES)
    assert (first.qid, first.text, first.status, first.citations) == ("a", "Because [1].", "answered", ())
    assert (second.qid, second.status, second.context.passages) == ("b", "no_answer", ())
    assert [prompt[-1].content for prompt in llm.seen] == ["Question: Why?", "Question: How?"]
    assert (llm.batches, first.usage.calls) == ([2], 1)


def test_empty_and_endless_replies() -> None:
    llm = ScriptedLLM(replies=("", "so " * 99))
    empty, endless = ClosedBookGenerator(llm=llm, max_tokens=5).generate(QUERIES)
    assert (empty.status, empty.outcome.kind) == ("failed", "failed")
    assert (endless.status, endless.finish_reason) == ("answered", "length")


def test_a_streamed_answer_is_the_answer() -> None:
    *pieces, last = ClosedBookGenerator(llm=ScriptedLLM(replies=("Because it is so.",))).stream(QUERIES[0])
    assert [piece.text for piece in pieces] == ["Because", " it", " is so."]
    assert last.answer is not None
    assert last.answer.text == "Because it is so."
    assert last.answer.usage.new_tokens == 4


def test_earlier_turns_come_before_the_question() -> None:
    llm = ScriptedLLM(replies=("x",))
    history = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))
    ClosedBookGenerator(llm=llm).generate([Query(qid="q", text="Why?", history=history)])
    assert [turn.role for turn in llm.seen[0]] == ["system", "user", "assistant", "user"]


def test_an_empty_batch_gives_an_empty_list() -> None:
    assert ClosedBookGenerator(llm=ScriptedLLM()).generate([]) == []


@pytest.mark.parametrize("arguments", [{"max_tokens": 0}, {"temperature": -1.0}])
def test_senseless_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ClosedBookGenerator(llm=ScriptedLLM(), **arguments)


def test_what_is_said_again_is_left_out_here_too() -> None:
    [found] = ClosedBookGenerator(llm=ScriptedLLM(replies=("It is so. " * 9,))).generate(QUERIES[:1])
    assert (found.text, found.outcome.kind) == ("It is so. It is so.", "repaired")
