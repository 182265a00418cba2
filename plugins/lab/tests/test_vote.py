"""Answers by vote, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.types import Answer, Context, Document, Query, ScoredDocument
from ragline_lab.robust.vote import VoteGenerator


def asked(
    replies: Sequence[str], *, sources: Sequence[str] = (), scores: Sequence[float] = (), **params: object
) -> Answer:
    hits = tuple(
        ScoredDocument(
            document=Document(
                doc_id=f"d{place}", text=f"text {place}", metadata={"parent": sources[place]} if sources else {}
            ),
            score=scores[place] if scores else -float(place),
        )
        for place in range(len(replies))
    )
    generator = VoteGenerator(llm=ScriptedLLM(replies=tuple(replies) or ("",)), **params)  # type: ignore[arg-type]
    [answer] = generator.generate([Context(query=Query(qid="1", text="Who?"), passages=hits)])
    return answer


def test_the_answer_of_most_passages_with_a_marker_of_each() -> None:
    answer = asked(["Raj Kapoor.", "Mahesh Bhatt", "I don't know.", "mahesh bhatt."])
    assert answer.text == "Mahesh Bhatt [2][4]."
    assert [(c.marker, c.doc_id, answer.text[c.start : c.end]) for c in answer.citations] == [
        (2, "d1", "[2]"),
        (4, "d3", "[4]"),
    ]
    assert not any(citation.similar for citation in answer.citations), "these passages have none of its words"
    assert answer.outcome.counts == {"votes": 4, "abstained": 1, "answers": 2, "agree": 2}
    assert answer.usage.calls == 4


def test_an_answer_with_more_words_agrees_with_a_shorter_one() -> None:
    assert asked(["in the year 1969", "1971", "1969"]).text == "in the year 1969 [1][3]."


def test_of_equal_ones_the_first_passage_is_right() -> None:
    assert asked(["one", "two"]).text == "one [1]."


def test_a_source_has_one_vote_however_many_passages_it_has() -> None:
    replies, sources = ["wrong", "wrong", "right", "right"], ["a", "a", "b", "c"]
    assert asked(replies, sources=sources).text.startswith("wrong")
    assert asked(replies, sources=sources, weigh="source").text == "right [3][4]."


def test_what_was_found_first_counts_more_by_relevance() -> None:
    replies, scores = ["right", "wrong", "wrong"], [9.0, 1.0, 1.0]
    assert asked(replies, scores=scores).text == "wrong [2][3]."
    assert asked(replies, scores=scores, weigh="relevance").text == "right [1]."  # e^1.41 against twice e^-0.71
    assert asked(replies, scores=[1.0, 1.0, 1.0], weigh="relevance").text == "wrong [2][3]."


def test_too_little_agreement_is_refused_and_counted() -> None:
    answer = asked(["one", "two", "three"], agreement=0.5)
    assert (answer.text, answer.status) == ("I don't know.", "no_answer")
    assert answer.outcome.counts["disagreed"] == 1
    assert asked(["one", "two", "one"], agreement=0.5).status == "answered"


def test_nothing_but_refusals_or_no_passages_is_no_answer() -> None:
    assert asked(["I don't know.", "I do not know"]).status == "no_answer"
    answer = asked([])
    assert (answer.status, answer.outcome.kind, answer.usage.calls) == ("no_answer", "empty", 0)


def test_an_answer_is_asked_of_the_first_passages_alone() -> None:
    assert asked(["one", "two", "two"], max_passages=1).text == "one [1]."


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"weigh": "size"}, "weigh must be one of passage, source, relevance, got 'size'"),
        ({"agreement": 1.5}, "agreement must be from 0 to 1, got 1.5"),
        ({"max_passages": 0}, "max_passages must be at least 1, got 0"),
        ({"prompt": "answer_closed_book"}, "passage"),
    ],
)
def test_senseless_parameters_are_refused(params: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message):
        asked(["x"], **params)
