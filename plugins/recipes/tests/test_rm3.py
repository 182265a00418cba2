from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest

from rag.core.types import Document, Query, Ranking, ScoredDocument
from ragline_recipes.reformulate.rm3 import RM3Reformulator, mixed, relevance_model
from retrievers.index.directory import LocalIndex
from retrievers.legs.lexical.retriever import BM25Retriever

ASKED = Query(qid="q", text="Frames frames warranty")


def feedback(*texts: str, scores: tuple[float, ...] = (10.0, 5.0)) -> Ranking:
    pairs = zip(texts, scores, strict=False)
    return Ranking(
        query=ASKED,
        hits=tuple(ScoredDocument(document=Document(doc_id=t, text=t), score=score) for t, score in pairs),
    )


def expanded(index: LocalIndex, ranking: Ranking, query: Query = ASKED, **arguments: Any) -> Query:
    [made] = RM3Reformulator(index=index, **({"max_df": 1.0} | arguments)).reformulate([query], [ranking])
    return made


def test_the_worked_example() -> None:
    model = relevance_model([({"a": 2, "c": 2}, 10.0), ({"c": 1, "d": 3}, 5.0)], keep=10)
    assert mixed({"a": 1, "b": 1}, model, 0.5) == pytest.approx(
        {"a": 0.416667, "b": 0.25, "c": 0.208333, "d": 0.125}, abs=1e-6
    )


def test_query_and_documents_are_analysed_and_mixed_by_hand(lexical_index: LocalIndex) -> None:
    made = expanded(lexical_index, feedback("Forks and forks, wheels and wheels", "wheel spoke spokes spoke"))
    # Documents: fork 2, wheel 2 at score 10; wheel 1, spoke 3 at score 5: 5, 6.25 and 3.75 of 15.
    assert made.terms == pytest.approx(
        {"frame": 1 / 3, "warranti": 1 / 6, "fork": 5 / 30, "wheel": 6.25 / 30, "spoke": 3.75 / 30}
    )
    assert (made.text, made.asked, made.outcome.kind) == (ASKED.text, ASKED.text, "ok")
    assert sum(made.terms.values()) == pytest.approx(1.0)


def test_the_weights_are_what_bm25_scores(lexical_index: LocalIndex) -> None:
    retriever = BM25Retriever(index=lexical_index)
    [first] = retriever.retrieve([Query(qid="q", text="warranty")], k=3)
    made = expanded(lexical_index, first, first.query)
    [again] = retriever.retrieve([made], k=12)
    assert first.doc_ids[0] == again.doc_ids[0] == "d09"
    assert len(again.hits) > len(first.hits)  # the terms of d09 find others


def test_terms_that_are_common_odd_short_or_long_are_no_feedback(lexical_index: LocalIndex) -> None:
    text = "day fork x 12 ___ " + "y" * 21
    counts = Counter(
        t for d in lexical_index.documents for t in set(lexical_index.leg("lexical").analyzer.terms(d.index_text))
    )
    assert (counts["dai"], counts["fork"]) == (4, 1)
    assert set(expanded(lexical_index, feedback(text), max_df=1.0).terms) == {"frame", "warranti", "dai", "fork", "12"}
    assert "dai" in expanded(lexical_index, feedback(text), max_df=4 / 12).terms
    assert "dai" not in expanded(lexical_index, feedback(text), max_df=3.9 / 12).terms


def test_a_term_of_the_first_row_alone_is_counted_too(lexical_index: LocalIndex) -> None:
    assert lexical_index.documents.row("d01") == 0
    assert "ill" in expanded(lexical_index, feedback("ill"), max_df=1 / 12).terms
    assert expanded(lexical_index, feedback("ill"), max_df=0.0).outcome.kind == "fallback"


def test_only_the_first_documents_and_the_best_terms_are_used(lexical_index: LocalIndex) -> None:
    ranking = feedback("fork fork wheel", "spoke", scores=(10.0, 9.0))
    assert set(expanded(lexical_index, ranking, documents=1).terms) == {"frame", "warranti", "fork", "wheel"}
    assert set(expanded(lexical_index, ranking, documents=1, terms=1).terms) == {"frame", "warranti", "fork"}


def test_a_weighted_query_is_interpolated_as_it_is(lexical_index: LocalIndex) -> None:
    query = Query(qid="q", text="unread", terms={"fork": 3.0, "wheel": 1.0})
    made = expanded(lexical_index, feedback("spoke"), query)
    assert made.terms == {"fork": 0.375, "wheel": 0.125, "spoke": 0.5}


def test_what_another_reformulator_wrote_finds_feedback_but_has_no_share(lexical_index: LocalIndex) -> None:
    expanded_before = Query(qid="q", text="fork keywords", original="fork", terms={"fork": 5.0, "keyword": 5.0})
    made = expanded(lexical_index, feedback("spoke"), expanded_before)
    assert made.terms == {"fork": 0.5, "spoke": 0.5}
    assert made.asked == "fork"


def test_the_question_of_a_follow_up_is_the_one_that_stands_alone(lexical_index: LocalIndex) -> None:
    follow_up = Query(qid="q", text="fork", original="and that?", stand_alone="fork")
    assert expanded(lexical_index, feedback("spoke"), follow_up).terms == {"fork": 0.5, "spoke": 0.5}


def test_weight_one_is_the_query_and_weight_nought_the_feedback(lexical_index: LocalIndex) -> None:
    assert set(expanded(lexical_index, feedback("spoke"), weight=1.0).terms) == {"frame", "warranti"}
    assert set(expanded(lexical_index, feedback("spoke"), weight=0.0).terms) == {"spoke"}


@pytest.mark.parametrize(
    "ranking",
    [feedback(), feedback("spoke", scores=(0.0,)), feedback("spoke", scores=(-3.0,)), feedback("the of", "...")],
)
def test_without_usable_feedback_the_query_stays(
    lexical_index: LocalIndex, ranking: Ranking, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        made = expanded(lexical_index, ranking)
    assert (made.terms, made.original, made.outcome.kind) == ({}, None, "fallback")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("arguments", [{"documents": 0}, {"terms": 0}, {"weight": 1.1}, {"max_df": -0.1}])
def test_senseless_arguments_are_refused(lexical_index: LocalIndex, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        RM3Reformulator(index=lexical_index, **arguments)
