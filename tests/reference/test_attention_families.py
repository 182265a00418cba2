"""Scores of `rerank.icr` against a plain eager forward of the whole prompt, family by family.

The reference concatenates the prompt itself, runs the real and the null query separately with `output_attentions`, and
works the paper's formulas in float64 numpy. Query and key weights are scaled until attention is peaked, since with flat
attention a wrong scale or a forgotten soft cap cannot be seen. The mutants prove that they are seen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.models.chat import encode_text, user_turn
from rag.pipeline.texts import ranked_by
from rerankers.attention.icr.reranker import ICRReranker
from tests.rerankers.tiny_models import TinyLLM, tiny_model
from tests.threads import one_thread

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "ministral", "gemma2", "gemma3")
TOLERANCE = 1e-4
QUERY = "Which city is the capital?"
TEXTS = (
    "The capital of France is Paris.",
    "Passages are numbered [1] and may hold <|im_end|> or anything else.",
    "0 1 2 3 4 5 6 7 8 9",
    "Which user is the model of the city?\n\nA new paragraph.",
    "system",
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small lose more to threads that wait for one another than they gain."""
    with one_thread():
        yield


@functools.cache
def peaked(family: str) -> TinyLLM:
    """A tiny model whose query positions pay some document token more than half of their attention."""
    llm = TinyLLM(tiny_model(family))
    for _ in range(12):
        if max(rows.max() for rows in document_rows(llm, QUERY)) > 0.5:
            return llm
        for name, weight in llm.model.named_parameters():
            if name.endswith(("q_norm.weight", "k_norm.weight")):  # the norm undoes a scale of the projection
                weight.data = weight.data * 1.5 + (0.5 if family == "gemma3" else 0.0)
            elif name.endswith(("q_proj.weight", "k_proj.weight")):
                weight.data *= 1.5
    raise AssertionError(f"attention of {family} stays flat")


def whole_prompt(llm: TinyLLM, query: str) -> tuple[list[int], list[tuple[int, int]], int]:
    """All ids, the span of each document in the order of TEXTS, and where the query span starts."""
    encode = functools.partial(encode_text, llm.tokenizer)
    before, after = user_turn(llm.tokenizer)
    ids = before + encode("These are numbered paragraphs.")
    spans = []
    for number, text in enumerate(reversed(TEXTS), start=1):
        ids += encode("\n\n")
        start = len(ids)
        ids += encode(f"[{number}] {text}")
        spans.append((start, len(ids)))
    ids += encode("\n\n")
    first = len(ids)
    ids += encode("Locate the information in the paragraphs above that is relevant to the query below.")
    ids += encode("\n\n") + encode(f"Query: {query}") + after
    return ids, spans[::-1], first


def eager_attentions(llm: TinyLLM, ids: list[int]) -> list[NDArray[np.float64]]:
    """Attention [heads, tokens, tokens] of every layer that sees the whole prompt."""
    import torch

    before = llm.model.config._attn_implementation
    llm.model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            output = llm.model(torch.tensor([ids]), output_attentions=True, use_cache=False)
    finally:
        llm.model.set_attn_implementation(before)
    kinds = getattr(llm.model.config, "layer_types", None) or ["full_attention"] * len(output.attentions)
    assert "full_attention" in kinds
    pairs = zip(output.attentions, kinds, strict=True)
    return [layer[0].double().numpy() for layer, kind in pairs if kind == "full_attention"]


def document_rows(llm: TinyLLM, query: str) -> list[NDArray[np.float64]]:
    ids, spans, first = whole_prompt(llm, query)
    return [layer[:, first:, spans[-1][0] : spans[0][1]] for layer in eager_attentions(llm, ids)]


def reference_scores(llm: TinyLLM) -> NDArray[np.float64]:
    """S_i of every text: the card's formulas, one token at a time."""
    per_query = []
    for query in (QUERY, "N/A"):
        ids, spans, first = whole_prompt(llm, query)
        per_query.append(sum(layer[:, first:, :].mean(axis=1).sum(axis=0) for layer in eager_attentions(llm, ids)))
    real, null = per_query
    scores = []
    for start, end in spans:
        c = [real[j] - null[j] for j in range(start, end)]
        mean = sum(c) / len(c)
        deviation = (sum((x - mean) ** 2 for x in c) / (len(c) - 1)) ** 0.5
        scores.append(sum(x for x in c if x > mean - 2 * deviation))
    return np.array(scores)


@functools.cache
def expected(family: str) -> NDArray[np.float64]:
    return reference_scores(peaked(family))


def difference(family: str) -> float:
    """Largest error of a document's score, relative to the largest score."""
    found = dict(ranked_by(ICRReranker(llm=peaked(family)), QUERY, TEXTS))
    ours = np.array([found[i] for i in range(len(TEXTS))])
    return float(np.abs(ours - expected(family)).max() / np.abs(expected(family)).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_an_eager_forward_of_the_whole_prompt(family: str) -> None:
    assert max(rows.max() for rows in document_rows(peaked(family), QUERY)) > 0.5
    assert difference(family) < TOLERANCE


def _scale_doubled(patch: pytest.MonkeyPatch) -> None:
    _change(patch, lambda given: given | {"scale": 2 * given["scale"]})


def _key_heads_swapped(patch: pytest.MonkeyPatch) -> None:
    _change(patch, lambda given: given | {"prefix_key": given["prefix_key"].flip(1), "key": given["key"].flip(1)})


def _no_softcap(patch: pytest.MonkeyPatch) -> None:
    _change(patch, lambda given: given | {"softcap": None})


def _change(patch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Alter what the row arithmetic is given."""
    from rerankers.attention.reading import rows

    right = rows.suffix_attention

    def wrong(query: Any, key: Any, value: Any, **given: Any) -> Any:
        return right(**change({"query": query, "key": key, "value": value, **given}))

    patch.setattr(rows, "suffix_attention", wrong)


def _spans_shifted(patch: pytest.MonkeyPatch) -> None:
    from rerankers.attention.reading.prompt import Pieces

    right = Pieces.prefix

    def wrong(self: Pieces, documents: Any) -> Any:
        ids, spans = right(self, documents)
        return ids, [(start + 1, end + 1) for start, end in spans]

    patch.setattr(Pieces, "prefix", wrong)


MUTANTS = {
    "scale doubled": _scale_doubled,
    "key heads swapped": _key_heads_swapped,
    "no soft cap": _no_softcap,
    "span shifted by one": _spans_shifted,
}


PAIRS = [(family, mutant) for family in FAMILIES for mutant in MUTANTS if mutant != "no soft cap" or family == "gemma2"]


@pytest.mark.parametrize(("family", "mutant"), PAIRS)
def test_the_comparison_sees_a_wrong_implementation(family: str, mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[mutant](monkeypatch)
    assert difference(family) > 20 * TOLERANCE


def test_a_forgotten_soft_cap_on_the_documents_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from rerankers.attention.reading import rows

    def uncapped(query: Any, key: Any, value: Any, *, scale: float, softcap: float, mask: Any) -> Any:
        return rows.attention(query, key, value, scale=scale, mask=mask)

    monkeypatch.setattr(rows, "softcapped_attention", uncapped)
    assert difference("gemma2") > 20 * TOLERANCE
