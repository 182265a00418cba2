from __future__ import annotations

from pathlib import Path

import pytest

import rag
from tests.generators.llm.conftest import save_random_model
from tests.rerankers.tiny_classifier import tiny_classifier

TEXTS = ["Paris is a city.", "Goggles are worn at the grinder.", "Leave is paid."]


def test_texts_are_ranked_without_graph_and_index(tmp_path: Path) -> None:
    model = str(save_random_model(tmp_path / "model"))
    for use, parameters in (("attention", {"keep": "nowhere"}), ("yes_no", {}), ("icr", {"max_words": 8})):
        ranked = rag.rerank_texts("what protects my eyes", TEXTS, use=use, model=model, **parameters)
        assert sorted(position for position, _ in ranked) == [0, 1, 2]
        assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)
    classifier = str(tiny_classifier(tmp_path / "classifier"))
    assert len(rag.rerank_texts("eyes", TEXTS, use="cross_encoder", model=classifier)) == 3
    assert rag.rerank_texts("eyes", [], use="cross_encoder", model=classifier) == []


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(TypeError, match="texts must be a list, got the one text 'Paris'"):
        rag.rerank_texts("q", "Paris")
    with pytest.raises(rag.UnknownComponent, match="Did you mean 'listwise'"):
        rag.rerank_texts("q", TEXTS, use="lisstwise")
    with pytest.raises(rag.SpecError, match=r"rerank\.self_consistency needs more than texts \(of\)"):
        rag.rerank_texts("q", TEXTS, use="self_consistency")
    with pytest.raises(rag.SpecError, match=r"rerank\.listwise: .*windw"):
        rag.rerank_texts("q", TEXTS, use="listwise", windw=3)
