"""Two questions in one sentence are told apart, and what the second one adds stands behind the first."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from generators.cited import CitedGenerator
from generators.llm.scripted import ScriptedLLM
from generators.second_question import second_question
from rag.core.types import Answer, Context, Document, Query, ScoredDocument

ROWS = (
    "Bacteria: Escherichia coli Penicillin: 100 Gram staining: negative",
    "Bacteria: Salmonella typhosa Penicillin: 1 Gram staining: negative",
)
QUESTION = "How much penicillin is needed against Escherichia coli, and is it Gram positive or negative?"


@pytest.mark.parametrize(
    ("question", "second"),
    [
        (QUESTION, "Is it Gram positive or negative?"),
        ("Did Iowa make more from wind or from coal, and by how much?", "By how much?"),
        ("Which release brought it, and when was that?", "When was that?"),
        ("How large is the board, and how large can it be made?", "How large can it be made?"),
        ("Wer hat es gebaut und wann wurde es verkauft?", "Wann wurde es verkauft?"),
        ("Quelle est la capitale et combien d'habitants a-t-elle ?", "Combien d'habitants a-t-elle ?"),
        ("¿Cómo se llama y cuántos años tiene?", "Cuántos años tiene?"),
        ("Kto to napisał i kiedy?", "Kiedy?"),
    ],
)
def test_a_second_question_is_told(question: str, second: str) -> None:
    assert second_question(question) == second


@pytest.mark.parametrize(
    "question",
    [
        "What are bread and butter?",
        "Who wrote Pride and Prejudice?",
        "Where is Anna and Bert's house?",
        "Which screws and which nuts do I need",  # nothing is asked
        "Bread and what?",  # nothing is asked before
        "The door is open and when it rains it is wet.",
        "and when?",
        "",
        "What is it, and why " + "so " * 200 + "long?",
    ],
)
def test_one_question_has_no_second(question: str) -> None:
    assert second_question(question) == ""


def asked(*replies: str, question: str = QUESTION, both: bool = True) -> tuple[Answer, str, ScriptedLLM]:
    """The answer of a batch, the text of a stream, and the model of the batch."""
    found = tuple(
        ScoredDocument(document=Document(doc_id=f"d{at}", text=text), score=1.0) for at, text in enumerate(ROWS)
    )
    context = Context(query=Query(qid="q", text=question), passages=found)
    model = ScriptedLLM(replies=replies)
    [answer] = CitedGenerator(llm=model, both=both).generate([context])
    deltas = [*CitedGenerator(llm=ScriptedLLM(replies=replies), both=both).stream(context)]
    assert deltas[-1].answer is not None
    assert (deltas[-1].answer.text, deltas[-1].answer.citations) == (answer.text, answer.citations)
    return answer, "".join(delta.text for delta in deltas), model


def told(answer: Answer) -> Sequence[tuple[str, str]]:
    return [(citation.doc_id, answer.text[citation.start : citation.end]) for citation in answer.citations]


def test_what_the_answer_leaves_open_is_asked_as_a_turn_after_it() -> None:
    answer, streamed, model = asked("It takes 100 of it. [1]", "It is negative. [1]")
    assert answer.text == streamed == "It takes 100 of it. [1] It is negative. [1]"
    assert told(answer) == [("d0", "[1]"), ("d0", "[1]")]
    assert answer.outcome.counts["second_answered"] == 1
    assert [turn.role for turn in model.seen[1][-3:]] == ["user", "assistant", "user"]
    assert [turn.content for turn in model.seen[1][-2:]] == [
        "It takes 100 of it. [1]",
        "Is it Gram positive or negative?",
    ]
    assert answer.usage.calls == 2


def test_parts_that_are_no_sentences_stand_on_lines_of_their_own() -> None:
    assert asked("100 [1]", "negative [1]")[1] == "100 [1]\nnegative [1]"


@pytest.mark.parametrize("second", ["I don't know.", "100 of it. [2]", "[1]"])
def test_a_second_answer_that_adds_nothing_is_left_out(second: str) -> None:
    answer, streamed, _ = asked("It takes 100 of it. [1]", second)
    assert answer.text == streamed == "It takes 100 of it. [1]"
    assert (answer.outcome.counts["second_asked"], "second_answered" in answer.outcome.counts) == (1, False)
    assert answer.usage.calls > 1


def test_nothing_is_asked_twice_after_a_refusal_of_one_question_or_unless_told() -> None:
    assert len(asked("I don't know.", "It is negative. [1]")[2].seen) == 1
    assert len(asked("It is negative. [1]", "no", question="Is it negative?")[2].seen) == 1
    assert len(asked("It takes 100. [1]", "It is negative. [1]", both=False)[2].seen) == 1


def test_second_questions_of_a_batch_are_asked_together() -> None:
    found = tuple(ScoredDocument(document=Document(doc_id="d", text=text), score=1.0) for text in ROWS)
    contexts = [
        Context(query=Query(qid=str(at), text=question), passages=found)
        for at, question in enumerate((QUESTION, "How much is needed?", QUESTION))
    ]
    model = ScriptedLLM(replies=("It takes 100. [1]", "It takes 100. [1]", "It takes 100. [1]", "Negative. [1]"))
    answers = CitedGenerator(llm=model, both=True).generate(contexts)
    assert model.batches == [3, 2]
    assert [answer.text.endswith("Negative. [1]") for answer in answers] == [True, False, True]
