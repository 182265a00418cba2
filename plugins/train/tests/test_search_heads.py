from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.errors import SpecError
from rag.ranking import in_this_order
from rag.types import Document, Query, Ranking
from ragline_train.heads.search_heads import find_heads, score_cases_in_one_prompt
from ragline_train.heads.weighings import NothingFound, ndcg
from ragline_train.pseudo import Case
from rerankers.attention.reranker import AttentionReranker
from tests.rerankers.tiny_models import TinyLLM, tiny_model

WORDS = ["Paris", "city", "France", "goggles", "grinder", "leave", "days", "valve", "pump", "lamp"]


def cases(n: int = 10) -> list[Case]:
    chance = random.Random(1)
    made = []
    for _ in range(n):
        texts = [" ".join(chance.choices(WORDS, k=12)) for _ in range(4)]
        candidates = tuple(Document(doc_id=f"d{i}", text=text) for i, text in enumerate(texts))
        made.append(Case(query=texts[2][:20], candidates=candidates, grades=(0.0, 0.0, 1.0, 0.0)))
    return made


def test_layers_that_slide_are_skipped_and_said() -> None:
    search = find_heads(TinyLLM(tiny_model("gemma3")), cases(), model="tiny", found_on="words", depths=[3])
    assert search.skipped == (0, 2)
    assert {layer for layer, _ in search.by_head} == {1, 3}
    assert set(search.heads.by_layer) <= {1, 3}


def test_a_model_of_two_layers_is_searched() -> None:
    llm = TinyLLM(tiny_model("llama", num_hidden_layers=2))
    search = find_heads(llm, cases(), model="tiny", found_on="words")
    assert search.heads.layers == 2
    assert list(search.by_depth) == [0]


def test_a_depth_without_a_head_that_can_be_read_is_left_out() -> None:
    search = find_heads(TinyLLM(tiny_model("gemma3")), cases(), model="tiny", found_on="words", depths=[0, 1])
    assert list(search.by_depth) == [1]


@pytest.mark.parametrize("depths", [[-1], [4]])
def test_depths_that_the_model_does_not_have_are_refused(depths: list[int]) -> None:
    with pytest.raises(SpecError, match=r"layers (from 0 to 3, got -1|0\.\.4: this llama has layers 0\.\.3)"):
        find_heads(TinyLLM(tiny_model("llama")), cases(), model="tiny", found_on="words", depths=depths)


def test_too_few_cases_are_refused_before_the_model_is_asked() -> None:
    llm = TinyLLM(tiny_model("llama"))
    with pytest.raises(NothingFound, match="at least 10 examples, got 3"):
        find_heads(llm, cases(3), model="tiny", found_on="words")
    assert llm.lent == 0


@pytest.mark.parametrize("method", ["core", "sparse"])
def test_heads_found_in_one_prompt_rank_there_as_they_did_when_found(method: Any, tmp_path: Path) -> None:
    """The reranker, which knows the file alone, against nDCG worked out from every head's scores."""
    llm, given = TinyLLM(tiny_model("llama")), cases(20)
    search = find_heads(llm, given, model="tiny", found_on="words", methods=[method], depths=[2], layout="prompt")
    assert search.heads.layout == "prompt"
    assert max(search.heads.weights.values()) == 1.0
    search.heads.save(tmp_path / "heads.json")
    reranker = AttentionReranker(llm=llm, layout="prompt", heads=str(tmp_path / "heads.json"))
    rankings = [
        Ranking(query=Query(qid=str(at), text=each.query), hits=in_this_order(list(each.candidates)))
        for at, each in enumerate(given)
    ]
    reached = []
    for each, found in zip(given, reranker.rerank(rankings, k=4), strict=True):
        scored = {hit.doc_id: hit.score for hit in found.hits}
        reached.append(float(ndcg(np.array([scored[d.doc_id] for d in each.candidates]), np.array(each.grades))))
    best_head = max(search.by_head.values())
    assert np.mean(reached) > 0.8 * best_head
    with llm.weights() as lent:
        plan, scores = score_cases_in_one_prompt(lent, given, context=4096, last_layer=2)
    at = {name: row for row, name in enumerate(plan.names)}
    rows = [at[name] for name in sorted((layer, h) for layer, heads in search.heads.by_layer.items() for h in heads)]
    weights = np.array([search.heads.weight(*plan.names[row]) for row in rows])
    expected = [
        float(ndcg(weights @ each.example(slice(None), search.heads.null_strength).scores[rows], each.grades))
        for each in scores
    ]
    assert np.mean(reached) == pytest.approx(np.mean(expected), abs=0.05)  # the reranker filters tokens besides


def test_candidates_that_do_not_fit_into_one_prompt_are_said() -> None:
    llm = TinyLLM(tiny_model("llama"), context_window=120)
    with pytest.raises(SpecError, match="of 4 candidates fit into one prompt of 120 tokens"):
        find_heads(llm, cases(), model="tiny", found_on="words", depths=[2], layout="prompt")
