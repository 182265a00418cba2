from __future__ import annotations

import pytest

from rag.core.types import Document, Query, Ranking, ScoredDocument
from ragline_recipes.interleave import InterleaveFuser


def ranking(*doc_ids: str, qid: str = "q", text: str = "asked") -> Ranking:
    hits = tuple(ScoredDocument(document=Document(doc_id=i, text=i), score=9.0 - at) for at, i in enumerate(doc_ids))
    return Ranking(query=Query(qid=qid, text=text, original="asked"), hits=hits)


def test_lists_take_turns_and_a_document_counts_once() -> None:
    [fused] = InterleaveFuser().fuse([ranking("a", "b", "c"), ranking("d", "a", "e"), ranking("d")], k=10)
    assert fused.doc_ids == ("a", "d", "b", "c", "e")
    assert [hit.score for hit in fused.hits] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert fused.query == Query(qid="q", text="asked")


def test_a_list_that_runs_out_leaves_its_turns_to_the_others() -> None:
    [fused] = InterleaveFuser().fuse([ranking(), ranking("a"), ranking("b", "c", "d")], k=3)
    assert fused.doc_ids == ("a", "b", "c")


def test_queries_are_kept_apart_in_first_seen_order() -> None:
    fused = InterleaveFuser().fuse([ranking("a", qid="2"), ranking("b", qid="1"), ranking("c", qid="2")], k=1)
    assert [(r.qid, r.doc_ids) for r in fused] == [("2", ("a",)), ("1", ("b",))]


def test_nothing_to_fuse_is_an_empty_ranking() -> None:
    [fused] = InterleaveFuser().fuse([ranking(), ranking()], k=3)
    assert (fused.hits, fused.outcome.kind) == ((), "empty")
