from __future__ import annotations

import pytest

from rag.core.types import Outcome, Ranking
from rerankers.identity import IdentityReranker


def test_order_and_scores_stay_and_the_list_is_cut(rankings: list[Ranking]) -> None:
    reranked = IdentityReranker().rerank(rankings, k=3)
    assert [r.hits for r in reranked] == [r.hits[:3] for r in rankings]
    assert [r.query for r in reranked] == [r.query for r in rankings]


def test_what_the_stage_before_reported_is_not_reported_again(rankings: list[Ranking]) -> None:
    from dataclasses import replace

    failed = replace(rankings[0], outcome=Outcome(kind="fallback", detail="before"))
    (reranked,) = IdentityReranker().rerank([failed], k=3)
    assert reranked.outcome.kind == "ok"


def test_nothing_in_nothing_out() -> None:
    assert IdentityReranker().rerank([], k=3) == []


def test_k_is_at_least_one(rankings: list[Ranking]) -> None:
    with pytest.raises(ValueError, match=r"rerank\.identity: k must be at least 1"):
        IdentityReranker().rerank(rankings, k=0)
