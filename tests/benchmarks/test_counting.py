"""Questions about many documents: what is right of an answer, and what the templates make of documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks import counting
from benchmarks.counting import WAYS, f1, graph, line_of, right
from benchmarks.counting_questions import CORPORA, Question, Template, _of
from rag.core.types import Answer, Citation, Context, Document, Outcome, Query, ScoredDocument
from rag.graph.check import check
from rag.graph.load import load_spec

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


@pytest.mark.parametrize(
    ("plan", "is_right"),
    [
        ('{"operation": "count", "where": {"book": "M"}}', True),
        ('{"operation": "list", "where": {"book": "M"}}', False),
        ('{"operation": "count"}', False),
        ('{"operation": "count", "where": {"book": "M"}, "text": "x"}', False),
    ],
)
def test_a_line_tells_whether_answer_and_plan_are_right(
    plan: str, is_right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = CORPORA["openstax-medical"]
    documents = [{"_id": "a", "book": "M"}, {"_id": "b", "book": "M"}, {"_id": "c", "book": "P"}]
    monkeypatch.setattr(counting, "records", lambda path: documents)
    hit = ScoredDocument(document=Document(doc_id="a#1", text="", metadata={"parent": "a"}), score=1.0)
    query = Query(qid="q", text="?")
    answer = Answer(
        query=query,
        text="2 documents. [1]",
        context=Context(query=query, passages=(hit,)),
        citations=(Citation(marker=1, doc_id="a#1", start=13, end=16),),
        outcome=Outcome(detail=f"plan: {plan}; Read 2 passages", counts={"matched": 2}),
    )
    line = line_of("tally", corpus, question("count"), answer)
    assert (line["right"], line["plan_right"], line["f1"]) == (True, is_right, None)
    assert line_of("plain", corpus, question("list"), answer)["f1"] == pytest.approx(2 / 3)
    fallen = replace(answer, outcome=Outcome(kind="fallback", detail="no JSON"))
    assert line_of("tally", corpus, question("count"), fallen)["plan_right"] is False


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
    )
    made = list(_of(template, 0, documents))
    assert {one.text for one in made} == {"war in January 2025?", "vote in January 2025?"}
    war = next(one for one in made if one.text.startswith("war"))
    assert (war.gold, war.ends) == (frozenset("012"), frozenset("0"))
    assert war.visible == frozenset("012345")
    assert [one.qid for one in made] == ["text-0-1", "text-0-2"]
    assert made == list(_of(template, 0, documents))


@pytest.mark.parametrize("way", WAYS)
def test_the_graphs_are_sound(way: str) -> None:
    for corpus in CORPORA.values():
        assert check(load_spec(graph(way, corpus, "smollm2-135m-instruct", "llama_cpp"))).problems == []
