"""Scores in absolute form: what heads pay for the query, less what other heads pay where nothing is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.core.errors import SpecError
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rerankers.attention.heads.head_sets import HeadSet
from rerankers.attention.reranker import AttentionReranker
from tests.rerankers.tiny_models import TinyLLM, tiny_model

WEIGHTS = {"1-3": 0.5, "2-0": 2.0}
PRIOR = {"0-1": 0.75, "2-0": 0.25, "3-2": 1.5}  # deeper than the weights, and one head of both
TEXTS = ("Paris", "a city of France", "goggles at the grinder", "3 of 4", "two words", "")


@pytest.fixture(scope="module")
def llm() -> TinyLLM:
    return TinyLLM(tiny_model("llama"))


@pytest.fixture
def heads(tmp_path: Path, llm: TinyLLM) -> str:
    return saved(tmp_path, llm)


def saved(folder: Path, llm: TinyLLM, **settings: Any) -> str:
    config = llm.model.config
    size = {"layers": config.num_hidden_layers, "heads_per_layer": config.num_attention_heads}
    parts = {"weights": WEIGHTS, "prior": PRIOR, "form": "absolute", "null_strength": 1.0, **settings}
    HeadSet(model="tiny", **size, **parts).save(folder / "heads.json")
    return str(folder / "heads.json")


def asked(texts: tuple[str, ...] = TEXTS, query: str = "which city") -> Ranking:
    documents = (Document(doc_id=f"d{i}", text=text) for i, text in enumerate(texts))
    hits = tuple(ScoredDocument(document=document, score=-float(i)) for i, document in enumerate(documents))
    return Ranking(query=Query(qid="q1", text=query), hits=hits, source="first")


def scores(llm: TinyLLM, given: Ranking, **settings: Any) -> dict[str, float]:
    (reranked,) = AttentionReranker(llm=llm, **settings).rerank([given], k=100)
    assert reranked.outcome.kind == "ok"
    return {hit.doc_id: hit.score for hit in reranked.hits}


def matches(llm: TinyLLM, query: str, text: str, head: str) -> float:
    """What one head pays to one document, from explanations of that head alone, which know nothing of priors."""
    reranker = AttentionReranker(llm=llm, heads=head, keep="nowhere", null_strength=0)
    with llm.weights() as lent:
        from rerankers.attention.reading.capture import attention_switched

        reader, _ = reranker._reader(lent)
        with attention_switched(reader.decoder):
            (seen,) = reader.ask([reader.query(query)[0]])
            keys = reader.read([reader.block(Document(doc_id="d", text=text))[0]]).keys
            return float(reader.match(seen, keys, over="all")[0, 0])


def by_hand(llm: TinyLLM, query: str, text: str, *, strength: float = 1.0, nulls: tuple[str, ...] = ("N/A",)) -> float:
    score = sum(weight * matches(llm, query, text, head) for head, weight in WEIGHTS.items())
    for null in nulls:
        off = sum(weight * matches(llm, null, text, head) for head, weight in PRIOR.items())
        score -= strength / len(nulls) * off
    return score


def test_a_score_is_the_weighed_matches_less_the_prior(llm: TinyLLM, heads: str) -> None:
    found = scores(llm, asked(), heads=heads, keep="nowhere")
    expected = {f"d{i}": by_hand(llm, "which city", text) for i, text in enumerate(TEXTS)}
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_strength_and_several_nulls_change_the_prior_alone(llm: TinyLLM, heads: str) -> None:
    nulls = ("N/A", "nothing at all")
    found = scores(llm, asked(), heads=heads, keep="nowhere", null_strength=0.5, nulls=nulls)
    for i, text in enumerate(TEXTS):
        expected = by_hand(llm, "which city", text, strength=0.5, nulls=nulls)
        assert found[f"d{i}"] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_without_strength_no_null_is_asked(llm: TinyLLM, heads: str) -> None:
    found = scores(llm, asked(), heads=heads, keep="nowhere", null_strength=0, nulls=())
    for i, text in enumerate(TEXTS):
        assert found[f"d{i}"] == pytest.approx(by_hand(llm, "which city", text, strength=0), rel=1e-5, abs=1e-6)


def test_a_score_does_not_depend_on_the_company(llm: TinyLLM, heads: str) -> None:
    everyone = scores(llm, asked(), heads=heads, keep="nowhere")
    for some in (slice(0, 2), slice(1, 5), slice(4, 6)):
        few = asked()
        found = scores(llm, replace(few, hits=few.hits[some]), heads=heads, keep="nowhere")
        assert found == pytest.approx({d: everyone[d] for d in found}, abs=1e-6)


@pytest.mark.parametrize("keep", ["memory", "disk"])
@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_kept_states_give_the_same_score_when_they_are_met_again(
    llm: TinyLLM, heads: str, keep: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    settings: dict[str, Any] = {"heads": heads, "keep": keep, "keep_as": kind}
    reranker = AttentionReranker(llm=llm, **settings)
    (first,), (again,) = (reranker.rerank([asked()], k=9) for _ in range(2))
    assert again.usage.cached_tokens > 0
    assert again.hits == first.hits
    exact = scores(llm, asked(), heads=heads, keep="nowhere")
    spread = np.ptp(list(exact.values()))
    assert {h.doc_id: h.score for h in first.hits} == pytest.approx(exact, abs=0.02 * spread)
    if keep == "disk":
        (other,) = AttentionReranker(llm=llm, **settings).rerank([asked()], k=9)
        assert other.hits == first.hits
        assert other.usage.cached_tokens == again.usage.cached_tokens


def test_keys_of_the_prior_alone_are_not_kept(llm: TinyLLM, heads: str, tmp_path: Path) -> None:
    with_prior = AttentionReranker(llm=llm, heads=heads)
    without = AttentionReranker(llm=llm, heads=tuple(WEIGHTS))
    sizes = []
    for reranker in (with_prior, without):
        (found,) = reranker.rerank([asked()], k=9)
        report = reranker.states()
        assert report is not None
        sizes.append(report.bytes)
        tokens = found.usage.prompt_tokens - len(llm.tokenizer("which city")["input_ids"])
    assert sizes[0] - sizes[1] == 4 * tokens  # a number per token


@pytest.mark.parametrize(
    "settings",
    [
        {"nulls": ("nothing",)},
        {"null_instruction": False},
        {"span": "suffix"},
        {"max_tokens": 64},
        {"instruction": "qa"},
    ],
)
def test_a_kept_prior_is_never_used_where_another_null_is_asked(
    llm: TinyLLM, heads: str, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))
    scores(llm, asked(), heads=heads, keep="disk")
    other = AttentionReranker(llm=llm, heads=heads, keep="disk", **settings)
    (found,) = other.rerank([asked()], k=9)
    assert found.usage.cached_tokens == 0


def test_parts_add_up_to_the_score(llm: TinyLLM, heads: str) -> None:
    """But for those of the tokens that close a document, which stand for no character of its text."""
    from rerankers.attention.reading.capture import attention_switched

    reranker, given = AttentionReranker(llm=llm, heads=heads), asked()
    (found,) = reranker.rerank([given], k=9)
    score = next(hit.score for hit in found.hits if hit.doc_id == "d1")
    document = given.hits[1].document
    shown = reranker.explain("which city", document)
    assert "".join(document.text[part.start : part.end] for part in shown) == document.text
    among = reranker.explain("which city", document, among=[hit.document for hit in given.hits])
    assert among == shown  # nothing is standardised
    with llm.weights() as lent:
        reader, head_set = reranker._reader(lent)
        with attention_switched(reader.decoder):
            (seen,) = reader.ask([reader.query("which city")[0]])
            (state,) = reader.read([reader.block(document)[0]]).states
            parts = reader.match_tokens(seen, state.keys, over="all").double().numpy()
    assert state.prior is not None
    weights = np.array([head_set.weight(*name) for name in reader.plan.names])
    closing = (weights @ parts - state.prior.double().numpy())[len(shown) :]
    assert sum(part.score for part in shown) + closing.sum() == pytest.approx(score, abs=1e-6)


def test_the_first_stage_is_fused_with_what_is_left(llm: TinyLLM, heads: str) -> None:
    alone = scores(llm, asked(), heads=heads)
    fused = scores(llm, asked(), heads=heads, first_stage_weight=0.5)
    attention, first = np.array([alone[f"d{i}"] for i in range(6)]), -np.arange(6.0)
    expected = 0.5 * (attention - attention.mean()) / attention.std() + 0.5 * (first - first.mean()) / first.std()
    assert [fused[f"d{i}"] for i in range(6)] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_prior_needs_the_absolute_form_and_blocks(tmp_path: Path, llm: TinyLLM) -> None:
    for settings in ({"form": "standardised"}, {"layout": "prompt"}):
        with pytest.raises(ValueError, match="a prior needs form absolute and layout blocks"):
            saved(tmp_path, llm, **settings)


def test_a_prior_of_heads_that_are_not_there_is_refused(tmp_path: Path, llm: TinyLLM) -> None:
    path = saved(tmp_path, llm, prior={"99-0": 1.0})
    with pytest.raises(SpecError, match="there is no head 99-0"):
        scores(llm, asked(), heads=path)


def test_a_prior_that_is_not_finite_keeps_the_order(tmp_path: Path) -> None:
    import torch

    broken = tiny_model("llama", seed=1)
    broken.model.layers[3].self_attn.q_proj.weight.data[2 * 8] = torch.nan
    (found,) = AttentionReranker(llm=TinyLLM(broken), heads=saved(tmp_path, TinyLLM(broken))).rerank([asked()], k=9)
    assert found.doc_ids == asked().doc_ids
    assert found.outcome.kind == "fallback"
    assert "prior is not finite" in found.outcome.detail
