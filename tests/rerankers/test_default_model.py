"""The default model, small as it is: what sharing prefixes must not change, and that likelihoods mean something."""

from __future__ import annotations

import pytest

from generators.llm.transformers import TransformersLLM
from rag.core.types import Ranking
from rerankers.query_likelihood import QueryLikelihoodReranker
from rerankers.yes_no import YesNoReranker

pytestmark = pytest.mark.models


def test_query_likelihood_finds_the_right_passage(rankings: list[Ranking], qrels: dict[str, dict[str, int]]) -> None:
    found = QueryLikelihoodReranker(llm=TransformersLLM(dtype="float32")).rerank(rankings, k=2)
    right = [bool(set(ranking.doc_ids) & set(qrels[ranking.qid])) for ranking in found]
    assert sum(right) >= 4  # of 5, among 12 documents


def test_sharing_changes_no_score(rankings: list[Ranking]) -> None:
    scores = []
    for share in (True, False):
        llm = TransformersLLM(dtype="float32", share_prefixes=share)
        found = YesNoReranker(llm=llm).rerank(rankings[:2], k=12)
        scores.append([sorted((hit.doc_id, hit.score) for hit in ranking.hits) for ranking in found])
        assert (sum(ranking.usage.cached_tokens for ranking in found) > 0) == share
    for one, other in zip(*scores, strict=True):
        assert dict(one) == pytest.approx(dict(other), abs=1e-4)
