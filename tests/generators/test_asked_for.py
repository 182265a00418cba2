"""A question for a telephone number, a year or a price wants one."""

from __future__ import annotations

import pytest

from generators.asked_for import asked_for, has_value
from generators.cited import CitedGenerator
from generators.llm.scripted import ScriptedLLM
from rag.core.types import Answer, Context, Document, Query, ScoredDocument

PHONE = "What is the phone number of the veterinarian who sedates the seals?"
YEAR = "In which year was the ROV Krabbe bought?"
PERMIT = Document(
    doc_id="permit", title="Permit 26/1184", text="In charge is Bogdan Wrona, from 2026-09-01, at 67.2411 N."
)
PRICES = Document(doc_id="prices", title="prices 2024", text="item: ROV Krabbe\nday: 1950")


@pytest.mark.parametrize(
    ("question", "name"),
    [
        (PHONE, "a telephone number"),
        ("Wie ist die Telefonnummer des Hafens?", "a telephone number"),
        ("What is Ada's e-mail address?", "an e-mail address"),
        (YEAR, "a year"),
        ("W którym roku kupiono łódź?", "a year"),
        ("How much does a company pay for a bed?", "a price"),
        ("Was kostet es, wenn ich eine Schwimmweste verliere?", "a price"),
        ("How many minutes may a seal be kept?", "a number"),
        ("Ile minut wolno trzymać fokę?", "a number"),
        ("How was it determined how many from each camp come?", None),
        ("How much do frames weigh?", None),
        ("What happened in the year of the flood?", None),
        ("Who answers the phone?", None),
        ("芝加哥大学的校园外观是从哪一年代起变得更现代的？", None),
    ],
)
def test_questions_that_name_a_kind(question: str, name: str | None) -> None:
    kind = asked_for(question)
    assert (kind.name if kind else None) == name


@pytest.mark.parametrize(
    ("question", "answer", "texts", "has"),
    [
        (PHONE, "Bogdan Wrona [1]", [PERMIT.text], False),
        (PHONE, "It is +47 75 50 12 34 [1].", ["Call +47 75 50 12 34."], True),
        (PHONE, "It is 2026-09-01 [1].", [PERMIT.text], False),
        (YEAR, "2024 [1]", [PRICES.text], False),
        (YEAR, "It was bought in 2024 [1].", ["Bought in May 2024."], True),
        (YEAR, "It was bought in May [1].", ["Bought in May 2024."], False),
        ("How much does a company pay for a bed?", "3. Bunk house [3]", ["3. Bunk house"], False),
        ("How much does a company pay for a bed?", "820 NOK [3]", ["Bed: 820 NOK"], True),
        ("How many seals?", "The value in this file defines concurrent processes [2].", ["18 seals"], False),
        ("How many seals?", "Eighteen, says the permit [2].", ["18 seals"], True),
        ("Wie viele Robben?", "Es sind achtzehn [2].", ["18"], True),
        ("How many seals?", "None of them [2].", ["18 seals"], True),
        ("How much does it cost?", "It is free [1].", ["Entry is free."], True),
        ("How much does it cost?", "It depends on the city [1].", ["12 cities"], False),
    ],
)
def test_an_answer_has_the_value_or_not(question: str, answer: str, texts: list[str], has: bool) -> None:
    kind = asked_for(question)
    assert kind
    assert has_value(kind, answer, texts) == has


def asked(
    question: str, reply: str, *documents: Document, streams: bool, right_kind: bool = True
) -> tuple[Answer, int, str]:
    """The answer, how often the model was asked, and what of it was shown first."""
    llm = ScriptedLLM(replies=(reply,))
    generator = CitedGenerator(llm=llm, right_kind=right_kind)
    passages = tuple(ScoredDocument(document=document, score=1.0) for document in documents)
    context = Context(query=Query(qid="q", text=question), passages=passages)
    if not streams:
        [answer] = generator.generate([context])
        return answer, len(llm.seen), answer.text
    *pieces, last = generator.stream(context)
    assert last.answer
    assert "".join(piece.text for piece in pieces) == last.answer.text
    return last.answer, len(llm.seen), pieces[0].text


@pytest.mark.parametrize("streams", [False, True])
def test_what_has_no_such_value_is_declined(streams: bool) -> None:
    answer, calls, _ = asked(PHONE, "Bogdan Wrona [1].", PERMIT, streams=streams)
    assert (answer.text, answer.status, calls) == ("I don't know.", "no_answer", 1)
    assert dict(answer.outcome.counts) == {"no_such_value": 1}
    assert answer.outcome.detail == "the question asks for a telephone number, and the answer has none"
    answer, calls, _ = asked(YEAR, "It was bought in 2024 [1].", PRICES, streams=streams)
    assert (answer.text, answer.status, answer.citations, calls) == ("I don't know.", "no_answer", (), 1)
    assert answer.usage.new_tokens > 0
    answer, _, first = asked(YEAR, "It was bought, used, in 1950 [1].", PRICES, streams=streams)
    assert (answer.text, answer.status) == ("It was bought, used, in 1950 [1].", "answered")
    assert first.startswith("It was bought, used, in 1950")


def test_it_is_not_looked_at_unless_asked_for() -> None:
    assert asked(YEAR, "2024 [1]", PRICES, streams=False, right_kind=False)[0].text == "2024 [1]"
    assert asked("Who bought it?", "Ada did, so they say [1].", PRICES, streams=True)[0].status == "answered"
