from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prompts
from generators.llm.transformers import TransformersLLM
from rag.chat import encode_prompt
from rag.indexing import build_index
from rag.types import Document, Query
from retrievers import promptreps_store
from retrievers.index.directory import Index
from retrievers.promptreps import Form, PromptRepsRetriever
from retrievers.promptreps_encoder import PromptRepsEncoder, allowed_tokens, sparse_weights
from tests.generators.llm.conftest import save_random_model


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> TransformersLLM:
    folder = save_random_model(tmp_path_factory.mktemp("decoder"))
    return TransformersLLM(model=str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> Index:
    place = tmp_path_factory.mktemp("promptreps")
    records = [{"_id": d.doc_id, "title": d.title, "text": d.text, "n": i} for i, d in enumerate(documents)]
    (place / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    build_index([place / "corpus.jsonl"], place / "index", legs=("lexical",))
    return Index.open(place / "index")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def encoder(llm: TransformersLLM, **arguments: Any) -> PromptRepsEncoder:
    sizes: dict[str, Any] = {"text_tokens": 512, "sparse_tokens": 128, "batch_tokens": 4096}
    return PromptRepsEncoder(llm, prompt="promptreps", by="test", **(sizes | arguments))


def by_hand(llm: TransformersLLM, text: str, noun: str) -> tuple[np.ndarray, dict[int, int]]:
    """Vector and weights of one text, from one unpadded pass over all positions."""
    import torch

    with llm.weights() as lent, torch.inference_mode():
        ids = encode_prompt(lent.tokenizer, prompts.load("promptreps").render(noun=noun, text=text))
        out = lent.model(torch.tensor([ids]), output_hidden_states=True)
        state = out.hidden_states[-1][0, -1].numpy()
        logits = out.logits[0, -1].numpy()
        allowed = allowed_tokens(lent.tokenizer, text)
    return state / np.linalg.norm(state), sparse_weights(logits, allowed, keep=128)


def weights_of(made: Any, at: int) -> dict[int, int]:
    span = slice(made.starts[at], made.starts[at + 1])
    return dict(zip(made.tokens[span].tolist(), made.weights[span].tolist(), strict=True))


def retrieve(llm: TransformersLLM, index: Index, cache: str, form: Form, *texts: str, k: int = 12, **more: Any) -> Any:
    retriever = PromptRepsRetriever(llm=llm, index=index, form=form, cache=cache, **more)
    return retriever.retrieve([Query(qid=str(i), text=text) for i, text in enumerate(texts)], k=k)


def test_the_weights_of_the_worked_example() -> None:
    logits = np.array([0.5, 2.0, 7.3, 12.9, -3.0, 2.0], dtype=np.float32)
    assert sparse_weights(logits, np.arange(6), keep=10) == {3: 263, 2: 212, 1: 110, 5: 110, 0: 41}
    assert sparse_weights(logits, np.array([1, 4, 5]), keep=1) == {1: 110}
    assert sparse_weights(logits, np.array([], dtype=np.int64), keep=3) == {}


@pytest.mark.parametrize("family", ["llama", "gpt2"])  # positions that are relative, and absolute ones
def test_vector_and_weights_are_those_of_one_unpadded_pass(tmp_path: Path, family: str) -> None:
    llm = TransformersLLM(model=str(save_random_model(tmp_path, family)), device="cpu", dtype="float32")
    texts = ["Frames are brazed.", "a", "Report a lost key or laptop to the duty officer at once. " * 3]
    made = encoder(llm).encode(texts, role="document")
    for at, text in enumerate(texts):
        vector, weights = by_hand(llm, text, "Passage")
        np.testing.assert_allclose(made.dense[at], vector, atol=1e-4)
        if weights:  # "a" is a stop word
            assert weights_of(made, at).keys() == weights.keys()
            assert all(abs(weights_of(made, at)[token] - weight) <= 1 for token, weight in weights.items())


def test_queries_and_passages_are_asked_for_by_their_noun(llm: TransformersLLM) -> None:
    made = encoder(llm).encode(["lost laptop"], role="query")
    np.testing.assert_allclose(made.dense[0], by_hand(llm, "lost laptop", "Query")[0], atol=1e-4)
    assert not np.allclose(made.dense[0], by_hand(llm, "lost laptop", "Passage")[0], atol=1e-3)


def test_words_are_lower_case_without_stop_words_and_spaces(llm: TransformersLLM) -> None:
    with llm.weights() as lent:
        same = allowed_tokens(lent.tokenizer, "The LOST laptop, lost!")
        assert same.tolist() == allowed_tokens(lent.tokenizer, "laptop lost").tolist()
        assert allowed_tokens(lent.tokenizer, "the of and ... !").tolist() == []


def test_a_text_without_words_has_the_likeliest_of_the_vocabulary(llm: TransformersLLM) -> None:
    made = encoder(llm).encode(["the ..."], role="query")
    found = weights_of(made, 0)
    with llm.weights() as lent:
        names = lent.tokenizer.convert_ids_to_tokens(list(found))
    assert 0 < len(found) <= 10
    assert all(name.lstrip("Ġ▁")[0].islower() for name in names)


def test_a_long_text_is_read_as_far_as_asked_or_as_there_is_room(llm: TransformersLLM) -> None:
    text = "frame wheel fork " * 2000
    made = encoder(llm, text_tokens=7).encode([text, text + "other"], role="document")
    np.testing.assert_allclose(made.dense[0], made.dense[1], atol=1e-5)
    whole = encoder(llm, text_tokens=100_000).encode([text], role="document")
    assert whole.n_tokens < llm.context_window


def test_dense_and_sparse_scores_by_hand(
    llm: TransformersLLM, index: Index, cache: str, documents: tuple[Document, ...]
) -> None:
    query = "lost laptop or frame"
    vector, weights = by_hand(llm, query, "Query")
    [dense] = retrieve(llm, index, cache, "dense", query)
    [sparse] = retrieve(llm, index, cache, "sparse", query)
    units = {d.doc_id: by_hand(llm, d.full_text, "Passage") for d in documents}
    assert {h.doc_id: h.score for h in dense.hits} == pytest.approx(
        {doc_id: float(unit @ vector) for doc_id, (unit, _) in units.items()}, abs=1e-3
    )
    products = {i: sum(w * weights.get(t, 0) for t, w in its.items()) for i, (_, its) in units.items()}
    assert {h.doc_id: h.score for h in sparse.hits} == pytest.approx(
        {doc_id: score for doc_id, score in products.items() if score}, rel=0.02
    )
    assert [h.score for h in dense.hits] == sorted((h.score for h in dense.hits), reverse=True)


def test_hybrid_is_half_and_half_of_both_lists(llm: TransformersLLM, index: Index, cache: str) -> None:
    for depth in (1000, 3):
        query = "lost laptop or frame"
        [hybrid] = retrieve(llm, index, cache, "hybrid", query, depth=depth)
        expected: dict[str, float] = {}
        for form in ("dense", "sparse"):
            [ranking] = retrieve(llm, index, cache, form, query, k=depth)  # type: ignore[arg-type]
            scores = [h.score for h in ranking.hits]
            for hit in ranking.hits:
                share = (hit.score - min(scores)) / (max(scores) - min(scores))
                expected[hit.doc_id] = expected.get(hit.doc_id, 0.0) + share / 2
        assert {h.doc_id: h.score for h in hybrid.hits} == pytest.approx(expected, abs=1e-6)


def test_a_filter_applies_before_the_cut_and_blank_queries_are_empty(
    llm: TransformersLLM, index: Index, cache: str
) -> None:
    retriever = PromptRepsRetriever(llm=llm, index=index, cache=cache)
    filtered, blank = retriever.retrieve(
        [Query(qid="f", text="frame", where={"n": (3, 4)}), Query(qid="b", text=" ")], k=5
    )
    assert set(filtered.doc_ids) == {"d04", "d05"}
    assert (blank.hits, blank.outcome.kind) == ((), "empty")
    assert (filtered.usage.calls, blank.usage.calls) == (1, 0)


def test_units_are_represented_once_and_a_stopped_build_goes_on(
    llm: TransformersLLM, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promptreps_store, "BLOCK", 5)
    encoded: list[int] = []
    original = PromptRepsEncoder.encode

    def encode(self: PromptRepsEncoder, texts: Any, *, role: Any) -> Any:
        if role == "document":
            if len(encoded) == 2:
                raise KeyboardInterrupt
            encoded.append(len(texts))
        return original(self, texts, role=role)

    monkeypatch.setattr(PromptRepsEncoder, "encode", encode)
    with pytest.raises(KeyboardInterrupt):
        PromptRepsRetriever(llm=llm, index=index, cache=str(tmp_path)).warm_up()
    assert encoded == [5, 5]
    encoded.clear()
    resumed = retrieve(llm, index, str(tmp_path), "hybrid", "frame")
    assert encoded == [2]
    again = retrieve(llm, index, str(tmp_path), "hybrid", "frame")
    assert encoded == [2]
    monkeypatch.setattr(promptreps_store, "BLOCK", 100)
    encoded.clear()
    whole = retrieve(llm, index, str(tmp_path / "new"), "hybrid", "frame")
    assert resumed[0].hits == again[0].hits
    assert {h.doc_id: h.score for h in whole[0].hits} == pytest.approx(
        {h.doc_id: h.score for h in resumed[0].hits}, abs=0.02
    )


@pytest.mark.parametrize("damage", [b"", b"PK", b"not an archive"])
def test_a_damaged_file_is_made_again(llm: TransformersLLM, index: Index, tmp_path: Path, damage: bytes) -> None:
    before = retrieve(llm, index, str(tmp_path), "dense", "frame")
    [file] = tmp_path.glob("*.npz")
    whole = file.read_bytes()
    file.write_bytes(damage or whole[: len(whole) // 2])
    assert retrieve(llm, index, str(tmp_path), "dense", "frame")[0].hits == before[0].hits
    assert len(file.read_bytes()) == len(whole)


def test_other_weights_prompts_and_sizes_are_other_files(
    llm: TransformersLLM, index: Index, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def files(model: TransformersLLM = llm, **arguments: Any) -> int:
        PromptRepsRetriever(llm=model, index=index, cache=str(tmp_path), **arguments).warm_up()
        return len(list(tmp_path.glob("*.npz")))

    assert [files(), files(), files(form="dense"), files(text_tokens=9), files(sparse_tokens=3)] == [1, 1, 1, 2, 3]
    other = save_random_model(tmp_path_factory.mktemp("other"), "qwen2")
    assert files(TransformersLLM(model=str(other), device="cpu", dtype="float32")) == 4


@pytest.mark.parametrize("arguments", [{"form": "both"}, {"text_tokens": 0}, {"depth": 0}, {"batch_tokens": 0}])
def test_senseless_arguments_are_refused(llm: TransformersLLM, index: Index, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        PromptRepsRetriever(llm=llm, index=index, **arguments)
