from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rag.core.errors import SpecError
from rag.core.ranking import in_this_order
from rag.core.types import Document, Query, Ranking
from rerankers.attention.reading import compiled_layers as compiled_layers
from rerankers.attention.reranker import AttentionReranker
from tests.rerankers.tiny_models import TinyLLM, tiny_model

HEADS = ("1-3", "1-0", "3-2")  # layers of which every family here sees whole prompts
TEXTS = ("Paris", "a city of France", "goggles at the grinder", "3 of 4", "leave " * 90, "two words")


def ranking(query: str = "which city") -> Ranking:
    documents = [Document(doc_id=f"d{i}", text=text) for i, text in enumerate(TEXTS)]
    return Ranking(query=Query(qid="q1", text=query), hits=in_this_order(documents), source="first")


def found(reranker: AttentionReranker, query: str = "which city") -> dict[str, float]:
    (reranked,) = reranker.rerank([ranking(query)], k=9)
    return {hit.doc_id: hit.score for hit in reranked.hits}


def test_without_a_compiler_it_is_refused_before_anything_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = TinyLLM(tiny_model("llama"))
    monkeypatch.setenv("CXX", "no-such-compiler")  # after torch is there, which reads it once
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler, and there is no no-such-compiler"):
        AttentionReranker(llm=llm, compiled=True)
    assert llm.lent == 0


def test_one_prompt_is_not_compiled() -> None:
    with pytest.raises(ValueError, match="compiled is for layout: blocks"):
        AttentionReranker(llm=TinyLLM(tiny_model("llama")), layout="prompt", compiled=True)


def test_what_does_not_compile_is_told_and_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **named: object) -> object:
        raise torch._dynamo.exc.TorchDynamoException("no such instruction\nand a long story")

    monkeypatch.setattr(compiled_layers, "_compiled", lambda kind: refuse)
    llm = TinyLLM(tiny_model("llama"))
    reranker = AttentionReranker(llm=llm, heads=HEADS, compiled=True)
    with pytest.raises(
        SpecError, match=r"does not compile this model's layers here: no such instruction\. Set compiled: false"
    ):
        found(reranker)
    assert all(layer._compiled_call_impl is None for layer in llm.model.get_decoder().layers)
    assert len(found(AttentionReranker(llm=llm, heads=HEADS))) == len(TEXTS)


@pytest.fixture
def _one_compiler() -> Iterator[None]:
    """Kernels are compiled here: more are processes, each of which imports torch."""
    from torch._inductor import config

    settings: Any = config
    with settings.patch(compile_threads=1):
        yield


@pytest.mark.usefixtures("_one_compiler")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # of torch, about itself
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_compiled_layers_find_the_same_and_are_there_for_the_reading_alone(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))
    model = tiny_model(family)
    llm, plain = TinyLLM(model), AttentionReranker(llm=TinyLLM(model), heads=HEADS)
    compiled = AttentionReranker(llm=llm, heads=HEADS, compiled=True, keep="disk", keep_mb=8)
    decoder = model.get_decoder()
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    for query in ("which city", "goggles for the eyes of a person at the grinder"):
        assert found(compiled, query) == pytest.approx(found(plain, query), abs=1e-5)
        assert all(layer._compiled_call_impl is None for layer in decoder.layers)
        assert decoder.config._attn_implementation != "ragline_rows"
    assert graphs["unique_graphs"] > before  # it was not the plain layers that ran
    many = graphs["unique_graphs"]
    found(compiled, "another length of the question, once more")
    assert graphs["unique_graphs"] == many  # one graph serves all lengths
    found(AttentionReranker(llm=llm, heads=HEADS, keep="disk", keep_mb=8))
    told = [
        json.loads(each.read_text())["identity"]["compiled"] for each in (tmp_path / "states").rglob("identity.json")
    ]
    assert sorted(told) == [False, True]
    layer = weakref.ref(decoder.layers[1])
    del model, llm, plain, compiled, decoder
    gc.collect()
    assert layer() is None  # weights go when nobody holds the model
