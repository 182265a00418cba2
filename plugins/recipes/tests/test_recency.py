from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from generators.llm.scripted import ScriptedLLM
from rag.filters import parse_where
from rag.types import Document, Prompt, Query, Ranking, ScoredDocument
from ragline_recipes.recency import RecencyReranker, asked_between, interpolated, parse_date


class Grader(ScriptedLLM):
    """Gives each passage the grade that its text names, and is sure of it."""

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        super().choose(prompts, choices)
        table = [[0.0 if f"grade {c.strip()}" in p[1].content else -50.0 for c in choices] for p in prompts]
        return np.array(table, dtype=np.float32)


def news(*given: tuple[int, str | None]) -> Ranking:
    hits = tuple(
        ScoredDocument(
            document=Document(doc_id=f"d{i}", text=f"grade {grade}", metadata={} if date is None else {"date": date}),
            score=float(len(given) - i),
        )
        for i, (grade, date) in enumerate(given)
    )
    return Ranking(query=Query(qid="q", text="will it?"), hits=hits)


def scores(reranked: Ranking) -> dict[str, float]:
    return {hit.doc_id: hit.score for hit in reranked.hits}


def test_relevance_times_recency_by_hand() -> None:
    given = news((4, "2023-01-01"), (2, "2023-01-31"), (4, "2023-01-31"), (1, "2022-12-02"))
    [found] = RecencyReranker(llm=Grader()).rerank([given], k=4)
    e = math.e
    assert scores(found) == pytest.approx({"d2": 1.0, "d1": 0.5, "d0": 1 / e, "d3": 0.25 / e**2}, rel=1e-5)
    assert found.doc_ids == ("d2", "d1", "d0", "d3")
    assert found.usage.calls == 4
    assert found.outcome.kind == "ok"


def test_an_irrelevant_document_keeps_a_floor() -> None:
    [found] = RecencyReranker(llm=Grader()).rerank([news((0, "2023-01-01"), (0, "2023-01-31"))], k=2)
    assert scores(found) == pytest.approx({"d1": 1e-4, "d0": 1e-4 / math.e}, rel=1e-4)


@pytest.mark.parametrize(
    ("where", "first", "last"),
    [
        ("date <= 2023-02-10", None, "2023-02-10"),
        ("date < 2023-02-10 and date >= 2023-01-01", "2023-01-01", "2023-02-10"),
        ("date <= 2023-02-10 and date <= 2023-02-01 and lang = en", None, "2023-02-01"),
        ({"date": {"lte": "2023-02-10"}}, None, "2023-02-10"),
        ("date = 2023-02-10", "2023-02-10", "2023-02-10"),
        ("date <= 2023-02-10 or lang = en", None, None),
        ("not date <= 2023-02-10", None, None),
        ("published <= 2023-02-10", None, None),
        (None, None, None),
    ],
)
def test_the_times_that_a_question_may_know(where: Any, first: str | None, last: str | None) -> None:
    query = Query(qid="q", text="will it?", where=parse_where(where))
    assert asked_between(query, "date") == (parse_date(first), parse_date(last))


def test_ages_are_counted_from_the_questions_own_cut_off() -> None:
    given = news((4, "2023-01-01"), (4, "2023-01-31"))
    asked = replace(given, query=Query(qid="q", text="will it?", where={"date": {"lte": "2023-03-02"}}))
    [found] = RecencyReranker(llm=Grader()).rerank([asked], k=2)
    assert scores(found) == pytest.approx({"d1": math.exp(-1), "d0": math.exp(-2)}, rel=1e-5)
    assert found.outcome.counts.get("without_cut_off", 0) == 0
    [fixed] = RecencyReranker(llm=Grader(), until="2023-01-31").rerank([asked], k=2)
    assert scores(fixed) == pytest.approx({"d1": 1.0, "d0": math.exp(-1)}, rel=1e-5), (
        "a graph that names a day is obeyed"
    )


def test_ages_are_counted_from_a_given_day_and_what_came_later_weighs_least() -> None:
    given = news((4, "2023-01-02"), (4, "2023-03-01"), (4, "2023-01-01T12:00:00+02:00"))
    [found] = RecencyReranker(llm=Grader(), until="2023-01-03", tau_days=1).rerank([given], k=3)
    expected = {"d0": math.exp(-1), "d2": math.exp(-(1 + 14 / 24)), "d1": 1e-4}
    assert scores(found) == pytest.approx(expected, rel=1e-5)


def test_a_curve_over_the_time_of_the_question() -> None:
    curve = ((0.0, 0.2), (0.5, 0.2), (1.0, 1.0))
    given = news((4, "2023-01-01"), (4, "2023-01-09"), (4, "2023-01-13"), (4, "2022-06-01"))
    reranker = RecencyReranker(llm=Grader(), since="2023-01-01", until="2023-01-17", curve=curve)
    [found] = reranker.rerank([given], k=4)
    assert scores(found) == pytest.approx({"d2": 0.6, "d0": 0.2, "d1": 0.2, "d3": 0.2}, rel=1e-5)


def test_a_negative_weight_is_lifted_to_the_floor() -> None:
    [found] = RecencyReranker(llm=Grader(), curve=((0.0, -1.0), (1.0, 1.0))).rerank(
        [news((4, "2023-01-01"), (4, "2023-01-02"))], k=2
    )
    assert scores(found) == pytest.approx({"d1": 1.0, "d0": 1e-4}, rel=1e-5)


def test_undated_documents_count_as_the_oldest_and_are_counted() -> None:
    given = news((4, "2023-01-01"), (4, None), (4, "yesterday"), (4, "2023-01-31"))
    [found] = RecencyReranker(llm=Grader()).rerank([given], k=4)
    assert found.outcome.counts["undated"] == 2
    assert scores(found)["d1"] == scores(found)["d2"] == scores(found)["d0"]


def test_without_any_date_relevance_decides() -> None:
    [found] = RecencyReranker(llm=Grader()).rerank([news((1, None), (3, None))], k=2)
    assert scores(found) == pytest.approx({"d1": 0.75, "d0": 0.25}, rel=1e-5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2023-05-11", datetime(2023, 5, 11, tzinfo=UTC)),
        (" 2023-05-11T10:00:00Z ", datetime(2023, 5, 11, 10, tzinfo=UTC)),
        ("20230511", datetime(2023, 5, 11, tzinfo=UTC)),
        ("May 11", None),
        ("", None),
        (None, None),
        (20.5, None),
        (["2023-05-11"], None),
    ],
)
def test_dates_of_every_kind(value: object, expected: datetime | None) -> None:
    assert parse_date(value) == expected


def test_a_curve_is_constant_outside() -> None:
    curve = ((0.2, 1.0), (0.4, 3.0), (0.8, 2.0))
    assert [interpolated(curve, time) for time in (-9.0, 0.2, 0.3, 0.6, 0.8, 7.0)] == pytest.approx(
        [1.0, 1.0, 2.0, 2.5, 2.0, 2.0]
    )
    assert interpolated(((0.5, 4.0),), 0.1) == 4.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau_days": 0.0}, "tau_days must be above 0"),
        ({"until": "soon"}, "until must be a date such as 2023-05-11, got 'soon'"),
        ({"since": "x"}, "since must be a date"),
        ({"curve": ()}, "curve must have finite points with rising times"),
        ({"curve": ((1.0, 1.0), (0.0, 1.0))}, "rising times"),
        ({"curve": ((0.0, float("nan")),)}, "finite"),
        ({"depth": 0}, "depth must be"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecencyReranker(llm=Grader(), **arguments)
