"""Questions about many documents: what is right of an answer, and what the templates make of documents."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.counting import f1, right
from benchmarks.counting_questions import Question, Template, _of

GOLD = frozenset({"a", "b"})


def question(operation: str, **fields: Any) -> Question:
    given = {"values": {}, "ends": frozenset(), "by": "", **fields}
    return Question(
        qid="q", form="f", corpus="forecast", text="?", operation=operation, gold=GOLD, visible=GOLD, **given
    )


@pytest.mark.parametrize(
    ("one", "text", "cited", "is_right"),
    [
        (question("count"), "2 documents. [1] [2]", {"a", "b"}, True),
        (question("count"), "There are 12 of them.", set(), False),
        (question("count"), "Two.", set(), False),
        (question("list"), "", {"a", "b"}, True),
        (question("list"), "", {"a", "b", "c"}, False),
        (question("earliest", ends=frozenset({"a"})), "", {"a"}, True),
        (question("earliest", ends=frozenset({"a"})), "", set(), False),
        (question("latest", ends=frozenset({"a"})), "", {"a", "b"}, False),
        (question("group", values={"1.5.2": 366, "0.2": 1}), "- 1.5.2: 366 [1]\n- 0.2: 1 [2]", set(), True),
        (question("group", values={"1.5.2": 366}), "- 1.5.2: 3660", set(), False),
    ],
)
def test_what_is_right(one: Question, text: str, cited: set[str], is_right: bool) -> None:
    assert right(one, text, cited) == is_right


def test_f1_by_hand() -> None:
    assert f1(GOLD, {"a", "c"}) == 0.5
    assert f1(GOLD, set()) == 0


def test_a_question_knows_all_documents_it_is_about_and_those_that_visible_fields_let_through() -> None:
    documents = [
        {"_id": str(n), "date": f"2025-01-0{n + 1}", "topics": ["war"] if n < 3 else ["vote"]} for n in range(6)
    ]
    template = Template(
        form="text",
        corpus="forecast, topics hidden",
        wordings=("{topics} in {month}?",),
        operation="earliest",
        where={"topics": "{topics}", "date": {"gte": "{first}", "lte": "{end}"}},
        by="date",
        bounded=True,
    )
    made = list(_of(template, 0, documents))
    assert {one.text for one in made} == {"war in January 2025?", "vote in January 2025?"}
    war = next(one for one in made if one.text.startswith("war"))
    assert (war.gold, war.ends) == (frozenset("012"), frozenset("0"))
    assert war.visible == frozenset("012345")
    assert [one.qid for one in made] == ["text-0-1", "text-0-2"]
    assert made == list(_of(template, 0, documents))
