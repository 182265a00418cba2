from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import ContractError
from rag.core.norms import NORMS
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.stages.fuse import Norm, RRFFuser, WeightedFuser
from rag.stages.scaling import CORPUS


def ranking(scores: dict[str, float], *, source: str = "", qid: str = "q", **query: Any) -> Ranking:
    hits = tuple(ScoredDocument(document=Document(doc_id=i, text=i), score=s) for i, s in scores.items())
    return Ranking(query=Query(qid=qid, text="text", **query), hits=hits, source=source)


def order(*doc_ids: str, **more: Any) -> Ranking:
    return ranking({doc_id: float(-i) for i, doc_id in enumerate(doc_ids)}, **more)


def scores(fused: Ranking) -> dict[str, float]:
    return {hit.doc_id: hit.score for hit in fused.hits}


FUSERS: list[Callable[[], RRFFuser | WeightedFuser]] = [
    RRFFuser,
    *(lambda norm=norm: WeightedFuser(norm=norm) for norm in get_args(Norm)),
]


def test_rrf_gives_the_values_worked_by_hand() -> None:
    fused = RRFFuser().fuse([order("d1", "d2", "d3"), order("d3", "d1", "d4")], k=10)[0]
    assert list(scores(fused)) == ["d1", "d3", "d2", "d4"]
    assert scores(fused) == pytest.approx({"d1": 1 / 61 + 1 / 62, "d3": 1 / 63 + 1 / 61, "d2": 1 / 62, "d4": 1 / 63})
    assert scores(fused) == pytest.approx(
        {"d1": 0.0325225, "d3": 0.0322665, "d2": 0.0161290, "d4": 0.0158730}, abs=5e-8
    )


def test_rrf_weights_go_by_source_and_default_to_one() -> None:
    lists = [order("d1", source="bm25"), order("d2", source="dense")]
    fused = RRFFuser(rank_constant=1, weights={"dense": 3.0}).fuse(lists, k=2)[0]
    assert scores(fused) == {"d2": 1.5, "d1": 0.5}


def test_rrf_does_not_look_at_scores() -> None:
    lists = [ranking({"d1": 2.0, "d2": 1.0}), ranking({"d1": -math.inf, "d2": -1e300})]
    assert scores(RRFFuser().fuse(lists, k=2)[0]) == {"d1": 2 / 61, "d2": 2 / 62}


def test_min_max_gives_the_values_worked_by_hand() -> None:
    lists = [
        ranking({"d1": 12, "d2": 9, "d3": 6}, source="bm25"),
        ranking({"d3": 0.9, "d1": 0.8, "d4": 0.5}, source="dense"),
    ]
    wanted = {"d1": 0.875, "d3": 0.5, "d2": 0.25, "d4": 0.0}
    for weights in (None, {"bm25": 0.5, "dense": 0.5}, {"bm25": 7.0, "dense": 7.0}):
        fused = WeightedFuser(weights=weights).fuse(lists, k=10)[0]
        assert list(scores(fused)) == list(wanted)
        assert scores(fused) == pytest.approx(wanted)


def test_weights_are_scaled_to_sum_to_one() -> None:
    lists = [ranking({"d1": 5, "d2": 1}, source="a"), ranking({"d2": 5, "d1": 1}, source="b")]
    fused = WeightedFuser(weights={"a": 1.0, "b": 3.0}).fuse(lists, k=2)[0]
    assert scores(fused) == pytest.approx({"d2": 0.75, "d1": 0.25})


def test_a_single_hit_is_worth_its_whole_weight() -> None:
    lists = [ranking({"d1": 3.0}, source="a"), ranking({"d2": 9.0, "d3": 8.0}, source="b")]
    assert scores(WeightedFuser().fuse(lists, k=3)[0]) == {"d1": 0.5, "d2": 0.5, "d3": 0.0}


def test_lists_of_one_source_share_its_weight() -> None:
    lists = [
        ranking({"d1": 2, "d2": 1}, source="bm25"),
        ranking({"d2": 2, "d1": 1}, source="bm25"),
        ranking({"d3": 2, "d1": 1}, source="dense"),
    ]
    fused = WeightedFuser(weights={"bm25": 0.6, "dense": 0.4}).fuse(lists, k=3)[0]
    assert scores(fused) == pytest.approx({"d3": 0.4, "d1": 0.3, "d2": 0.3})


@pytest.mark.parametrize(
    ("norm", "values", "missing"),
    [
        ("min_max", [1.0, 0.25, 0.0], 0.0),
        ("z_score", [17 / math.sqrt(222), -4 / math.sqrt(222), -13 / math.sqrt(222)], -13 / math.sqrt(222)),
        ("max", [1.0, 0.4, 0.2], 0.0),
        ("sum", [0.8, 0.2, 0.0], 0.0),
        ("rank", [1.0, 2 / 3, 1 / 3], 0.0),
    ],
)
def test_norms_give_the_values_worked_by_hand(norm: str, values: list[float], missing: float) -> None:
    # of 5, 2, 1: mean 8/3, variance (49 + 4 + 25) / 27 = 26/9; (5 - 8/3) / sqrt(26/9) = 7 / sqrt(26)
    if norm == "z_score":
        values, missing = [7 / math.sqrt(26), -2 / math.sqrt(26), -5 / math.sqrt(26)], -5 / math.sqrt(26)
    normed, absent = NORMS[norm]([5.0, 2.0, 1.0])
    assert normed == pytest.approx(values)
    assert absent == pytest.approx(missing)


@pytest.mark.parametrize("norm", NORMS)
@given(st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_no_norm_changes_the_order_or_lifts_the_missing_above_the_found(norm: str, given: list[float]) -> None:
    best_first = sorted(given, reverse=True)
    values, missing = NORMS[norm](best_first)
    assert len(values) == len(given)
    assert values == sorted(values, reverse=True)
    assert all(missing <= value for value in values)


def test_the_table_of_norms_is_what_the_parameter_allows() -> None:
    assert {CORPUS, *NORMS} == set(get_args(Norm))
    with pytest.raises(ValueError, match=r"must be one of corpus, min_max, z_score, .* got 'minmax'"):
        WeightedFuser(norm="minmax")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", FUSERS)
def test_one_ranking_per_qid_in_first_seen_order_cut_at_k(
    make: Callable[[], RRFFuser | WeightedFuser],
) -> None:
    lists = [
        order("d1", "d2", "d3", qid="b", source="x"),
        order("d1", "d2", qid="a", source="x"),
        order("d3", "d2", "d1", qid="b", source="y"),
        order("d9", qid="a", source="y"),
    ]
    fused = make().fuse(lists, k=2)
    assert [r.qid for r in fused] == ["b", "a"]
    assert [len(r.hits) for r in fused] == [2, 2]
    assert all(r.source == "" for r in fused)


@pytest.mark.parametrize("make", FUSERS)
def test_variants_of_a_query_give_one_ranking_of_the_asked_query(
    make: Callable[[], RRFFuser | WeightedFuser],
) -> None:
    asked = Query(qid="q", text="asked", where={"year": 1984})
    variants = [
        Query(qid="q", text="first way", original="asked", where={"year": 1984}),
        Query(qid="q", text="second way", original="asked", terms={"way": 2.0}, where={"year": 1984}),
    ]
    lists = [Ranking(query=v, hits=order("d1").hits, source="bm25") for v in variants]
    (fused,) = make().fuse(lists, k=5)
    assert fused.query == asked
    assert fused.query.where == {"year": 1984}
    assert fused.doc_ids == ("d1",)


@pytest.mark.parametrize("make", FUSERS)
def test_equal_scores_go_by_doc_id(make: Callable[[], RRFFuser | WeightedFuser]) -> None:
    lists = [ranking({"d2": 2, "d1": 1}, source="x"), ranking({"d1": 2, "d2": 1}, source="y")]
    assert make().fuse(lists, k=2)[0].doc_ids == ("d1", "d2")


@pytest.mark.parametrize("make", FUSERS)
def test_the_order_of_the_lists_changes_nothing(make: Callable[[], RRFFuser | WeightedFuser]) -> None:
    lists = [
        ranking({"d1": 0.7, "d2": 0.2, "d3": 0.1}, source="x"),
        ranking({"d2": 31.0, "d3": 8.0, "d1": 3.3}, source="y"),
        ranking({"d3": -1.0, "d1": -2.1, "d2": -9.0}, source="z"),
    ]
    results = [make().fuse(list(p), k=3)[0].hits for p in permutations(lists)]
    assert all(hits == results[0] for hits in results)


@pytest.mark.parametrize("make", FUSERS)
def test_a_document_found_twice_in_one_list_counts_at_its_best_rank(
    make: Callable[[], RRFFuser | WeightedFuser],
) -> None:
    document = Document(doc_id="d1", text="")
    other = Document(doc_id="d2", text="")
    once = [ScoredDocument(document=document, score=3.0), ScoredDocument(document=other, score=2.0)]
    twice = [*once, ScoredDocument(document=document, score=1.0)]
    query = Query(qid="q", text="")
    fused = [make().fuse([Ranking(query=query, hits=tuple(hits))], k=5)[0].hits for hits in (once, twice)]
    assert fused[0] == fused[1]


@pytest.mark.parametrize("make", FUSERS)
def test_nothing_in_nothing_out_and_a_query_without_hits_stays(
    make: Callable[[], RRFFuser | WeightedFuser],
) -> None:
    assert make().fuse([], k=3) == []
    lists = [ranking({}, source="x"), ranking({}, source="y"), ranking({"d1": 1.0}, qid="other", source="x")]
    empty, found = make().fuse(lists, k=3)
    assert (empty.hits, empty.outcome.kind) == ((), "empty")
    assert (found.doc_ids, found.outcome.kind) == (("d1",), "ok")


@pytest.mark.parametrize("fuser", [RRFFuser(weights={"bm52": 1.0}), WeightedFuser(weights={"bm52": 1.0})])
def test_a_weight_for_an_unknown_source_is_named(fuser: RRFFuser | WeightedFuser) -> None:
    with pytest.raises(ValueError, match="weights name 'bm52', but the fused rankings come from 'bm25', 'dense'"):
        fuser.fuse([order("d1", source="bm25"), order("d1", source="dense")], k=1)
    assert fuser.fuse([], k=1) == []


def test_a_source_without_a_weight_is_named_where_weights_must_sum_to_one() -> None:
    with pytest.raises(ValueError, match="no weight for 'dense'"):
        WeightedFuser(weights={"bm25": 1.0}).fuse([order("d1", source="bm25"), order("d1", source="dense")], k=1)


@pytest.mark.parametrize("make", FUSERS)
def test_a_score_that_is_no_number_is_traced_to_its_source(
    make: Callable[[], RRFFuser | WeightedFuser],
) -> None:
    bad = ranking({"d1": math.nan}, source="mine", qid="q7")
    with pytest.raises(ContractError, match="'mine' gave document 'd1' the score nan for qid 'q7'"):
        make().fuse([bad], k=1)


def test_an_infinite_score_cannot_be_normalised() -> None:
    with pytest.raises(ContractError, match="inf"):
        WeightedFuser().fuse([ranking({"d1": math.inf, "d2": 1.0})], k=1)


@pytest.mark.parametrize("make", FUSERS)
def test_k_below_one_is_refused(make: Callable[[], RRFFuser | WeightedFuser]) -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        make().fuse([order("d1")], k=0)


@pytest.mark.parametrize("weights", [{"a": -1.0}, {"a": math.nan}, {"a": math.inf}, {"a": 0.0, "b": 0.0}])
def test_weights_that_cannot_weigh_are_refused(weights: dict[str, float]) -> None:
    for fuser in (RRFFuser, WeightedFuser):
        with pytest.raises(ValueError, match="weight"):
            fuser(weights=weights)


def test_a_negative_rank_constant_is_refused() -> None:
    with pytest.raises(ValueError, match="rank_constant must be at least 0, got -1"):
        RRFFuser(rank_constant=-1)
