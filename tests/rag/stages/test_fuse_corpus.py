"""`norm: corpus`: scores compared over the whole index, with no score invented."""

from __future__ import annotations

import pytest

from rag.core.types import Document, Population, Query, Ranking, ScoredDocument
from rag.stages.fuse import WeightedFuser
from rag.stages.scaling import over_population
from tests.explained import require_sums

WEIGHTS = {"bm25": 0.3, "dense": 0.7}


def of(source: str, scores: dict[str, float], **more: object) -> Ranking:
    hits = tuple(ScoredDocument(document=Document(doc_id=i, text=i), score=s) for i, s in scores.items())
    return Ranking(query=Query(qid="q", text="x"), hits=hits, source=source, **more)  # type: ignore[arg-type]


def fused(*rankings: Ranking, weights: dict[str, float] | None = None) -> dict[str, float]:
    [ranking] = WeightedFuser(norm="corpus", weights=weights).fuse(rankings, k=9)
    return {hit.doc_id: hit.score for hit in ranking.hits}


def test_scores_are_those_worked_by_hand() -> None:
    # bm25: mean 1, deviation 2; dense: mean .1, deviation .2
    words = of("bm25", {"a": 9.0}, population=Population(n=100, mean=1.0, deviation=2.0), other_scores={"b": 0.0})
    vectors = of("dense", {"b": 0.7}, population=Population(n=100, mean=0.1, deviation=0.2), other_scores={"a": -0.1})
    # a: .3 * (9 - 1) / 2 + .7 * (-.1 - .1) / .2 = 1.2 - .7; b: .3 * (0 - 1) / 2 + .7 * (.7 - .1) / .2 = -.15 + 2.1
    assert fused(words, vectors, weights=WEIGHTS) == pytest.approx({"b": 1.95, "a": 0.5})


def test_a_word_that_one_document_alone_has_wins() -> None:
    """A list of one hit said nothing by its own scores: over the index it stands far out."""
    n = 1000
    words = of(
        "bm25",
        {"rare": 8.0},
        population=Population(n=n, mean=8 / n, deviation=8 * (n - 1) ** 0.5 / n),
        other_scores={f"d{i}": 0.0 for i in range(9)},
    )
    near = {f"d{i}": 0.5 - i / 100 for i in range(9)}
    vectors = of("dense", near, population=Population(n=n, mean=0.05, deviation=0.1), other_scores={"rare": 0.0})
    ranks = [*fused(words, vectors, weights=WEIGHTS)]
    assert ranks[0] == "rare"
    [before] = WeightedFuser(norm="z_score", weights=WEIGHTS).fuse([words, vectors], k=20)
    assert before.doc_ids[-1] == "rare"


def test_a_list_that_says_nothing_adds_nothing() -> None:
    flat = Population(n=100, mean=0.0, deviation=0.0)
    words = of("bm25", {}, population=flat, other_scores={"a": 0.0, "b": 0.0})
    vectors = of("dense", {"a": 0.7, "b": 0.3}, population=Population(n=100, mean=0.1, deviation=0.2))
    assert fused(words, vectors, weights=WEIGHTS) == pytest.approx({"a": 0.7 * 3, "b": 0.7 * 1})
    assert over_population([0.0, 0.0], flat) == [0.0, 0.0]


def test_where_a_list_can_say_nothing_the_others_have_its_weight() -> None:
    population = Population(n=100, mean=1.0, deviation=2.0)
    words = of("bm25", {"a": 9.0}, population=population, other_scores={"b": 0.0})  # c is in another language
    vectors = of("dense", {"c": 7.0, "b": 3.0}, population=population, other_scores={"a": 2.0})
    # a: .3 * 4 + .7 * .5; b: .3 * -.5 + .7 * 1; c: 1 * 3, the whole weight
    assert fused(words, vectors, weights=WEIGHTS) == pytest.approx({"c": 3.0, "a": 1.55, "b": 0.55})
    fuser = WeightedFuser(norm="corpus", weights=WEIGHTS)
    [ranking] = fuser.fuse([words, vectors], k=9)
    parts = fuser.explain_fusion([words, vectors], ranking.hits)
    require_sums(ranking.hits, parts, within=1e-9)
    assert [[part.of_query for part in of_hit] for of_hit in parts] == [["dense"], ["bm25", "dense"], ["dense", "bm25"]]


def test_a_weight_counts_for_the_documents_that_the_model_fits() -> None:
    words = of("bm25", {"a": 3.0}, population=Population(n=9, mean=1.0, deviation=2.0), other_scores={"b": 0.0})
    foreign = Population(n=9, mean=0.1, deviation=0.2, fit=0.0)
    vectors = of("dense", {"b": 0.7}, population=foreign, other_scores={"a": 0.1})
    assert fused(words, vectors, weights=WEIGHTS) == pytest.approx({"a": 1.0, "b": -0.5})
    half = of(
        "dense", {"b": 0.7}, population=Population(n=9, mean=0.1, deviation=0.2, fit=0.5), other_scores={"a": 0.1}
    )
    share = 0.35 / 0.65
    assert fused(words, half, weights=WEIGHTS) == pytest.approx({"a": 1 - share, "b": -0.5 * (1 - share) + 3 * share})
    assert fused(vectors) == pytest.approx({"b": 3.0})  # alone it is all that there is


def test_a_list_that_nobody_completed_is_scaled_by_itself_and_says_what_it_invents() -> None:
    words, vectors = of("bm25", {"a": 3.0, "b": 1.0}), of("dense", {"c": 0.7, "b": 0.3})
    [ranking] = WeightedFuser(norm="corpus").fuse([words, vectors], k=9)
    [by_lists] = WeightedFuser(norm="z_score").fuse([words, vectors], k=9)
    assert ranking.hits == by_lists.hits
    assert by_lists.outcome.counts == {"scored_as_lowest": 2}
    assert ranking.outcome.counts == {"scored_as_lowest": 2, "scaled_by_itself": 2}
    parts = WeightedFuser(norm="corpus").explain_fusion([words, vectors], ranking.hits)
    assert [part.how for of_hit in parts for part in of_hit].count(
        "no score here: counted as the lowest of this list"
    ) == 2


def test_nothing_is_said_to_be_invented_where_nothing_is() -> None:
    population = Population(n=9, mean=1.0, deviation=2.0)
    words = of("bm25", {"a": 3.0}, population=population, other_scores={"b": 1.5})
    vectors = of("dense", {"b": 0.7}, population=population, other_scores={"a": 0.5})
    [ranking] = WeightedFuser(norm="corpus").fuse([words, vectors], k=9)
    assert ranking.outcome.counts == {}
    parts = WeightedFuser(norm="corpus").explain_fusion([words, vectors], ranking.hits)
    require_sums(ranking.hits, parts, within=1e-9)
    assert {part.how for of_hit in parts for part in of_hit} == {
        "3 is +1.00 deviations from the mean of all",
        "no hit of this list; 1.5 is +0.25 deviations from the mean of all",
        "0.7 is -0.15 deviations from the mean of all",
        "no hit of this list; 0.5 is -0.25 deviations from the mean of all",
    }


def test_other_norms_ask_for_no_scores() -> None:
    assert WeightedFuser(norm="corpus").wants_scores
    assert not WeightedFuser(norm="z_score").wants_scores
