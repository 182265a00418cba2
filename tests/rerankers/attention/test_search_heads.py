from __future__ import annotations

import random

import pytest

from rag.errors import SpecError
from rag.types import Document
from rerankers.attention.finding import NothingFound
from rerankers.attention.pseudo import Case
from rerankers.attention.search_heads import find_heads
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
