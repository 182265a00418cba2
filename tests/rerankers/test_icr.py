from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from generators.llm.transformers import TransformersLLM
from rag.core.errors import SpecError
from rag.core.ranking import in_this_order
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.pipeline.texts import ranked_by
from rerankers.attention.icr.reranker import ICRReranker
from tests.rerankers.tiny_models import TinyLLM, tiny_model
from tests.threads import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small lose more to threads that wait for one another than they gain."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model("llama")


@pytest.fixture
def llm(model: Any) -> TinyLLM:
    return TinyLLM(model)


def ranking(*texts: str, query: str = "which city") -> Ranking:
    """Documents d0, d1, ... in this order, with scores 1, 1/2, ..."""
    documents = [Document(doc_id=f"d{i}", text=text) for i, text in enumerate(texts)]
    return Ranking(query=Query(qid="q1", text=query), hits=in_this_order(documents), source="first")


SIX = ranking("Paris", "a city of France", "goggles at the grinder", "3 of 4", "leave", "two words")


def scores(llm: TinyLLM, **settings: Any) -> dict[str, float]:
    (reranked,) = ICRReranker(llm=llm, **settings).rerank([SIX], k=6)
    return {hit.doc_id: hit.score for hit in reranked.hits}


def test_the_documents_given_come_back_best_first_and_cut(llm: TinyLLM, rankings: list[Ranking]) -> None:
    reranked = ICRReranker(llm=llm).rerank(rankings, k=5)
    assert [r.query for r in reranked] == [r.query for r in rankings]
    for before, after in zip(rankings, reranked, strict=True):
        assert len(after.hits) == 5
        assert len(set(after.doc_ids)) == 5
        assert set(after.doc_ids) <= set(before.doc_ids)
        falling = [hit.score for hit in after.hits]
        assert falling == sorted(falling, reverse=True)
        assert all(map(math.isfinite, falling))
        assert after.outcome.kind == "ok"


def test_the_same_input_gives_the_same_output(llm: TinyLLM, rankings: list[Ranking]) -> None:
    first, second = (ICRReranker(llm=llm).rerank(rankings, k=12) for _ in range(2))
    assert [r.hits for r in first] == [r.hits for r in second]


def test_a_query_scores_the_same_in_any_batch(llm: TinyLLM, rankings: list[Ranking]) -> None:
    together = ICRReranker(llm=llm).rerank(rankings, k=12)
    alone = [ICRReranker(llm=llm).rerank([one], k=12)[0] for one in rankings]
    assert [r.hits for r in together] == [r.hits for r in alone]


def test_nothing_in_nothing_out(llm: TinyLLM) -> None:
    assert ICRReranker(llm=llm).rerank([], k=3) == []
    assert llm.lent == 0


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_candidates_need_no_model(llm: TinyLLM, n: int) -> None:
    few = replace(SIX, hits=SIX.hits[:n])
    (reranked,) = ICRReranker(llm=llm).rerank([few], k=3)
    assert reranked.hits == few.hits
    assert llm.lent == 0


def test_usage_counts_both_queries_and_the_shared_prefix(llm: TinyLLM) -> None:
    (reranked,) = ICRReranker(llm=llm).rerank([SIX], k=6)
    (plain,) = ICRReranker(llm=llm, calibrate=False).rerank([SIX], k=6)
    prefix = reranked.usage.cached_tokens
    assert (reranked.usage.calls, plain.usage.calls) == (2, 2)
    assert plain.usage.cached_tokens == 0
    # Real and null prompt differ in the query alone, and "N/A" is shorter than "which city".
    null_prompt = reranked.usage.prompt_tokens - plain.usage.prompt_tokens
    assert prefix < null_prompt < plain.usage.prompt_tokens
    assert reranked.usage.seconds > 0


def test_hits_beyond_the_depth_follow_in_their_order(llm: TinyLLM) -> None:
    (reranked,) = ICRReranker(llm=llm, depth=3).rerank([SIX], k=6)
    assert set(reranked.doc_ids[:3]) == {"d0", "d1", "d2"}
    assert reranked.doc_ids[3:] == ("d3", "d4", "d5")
    falling = [hit.score for hit in reranked.hits]
    assert falling == sorted(falling, reverse=True)
    (shallow,) = ICRReranker(llm=llm, depth=3).rerank([replace(SIX, hits=SIX.hits[:3])], k=6)
    assert reranked.hits[:3] == shallow.hits


def test_a_document_given_twice_comes_back_once(llm: TinyLLM) -> None:
    doubled = replace(SIX, hits=(*SIX.hits[:3], SIX.hits[0]))
    (reranked,) = ICRReranker(llm=llm).rerank([doubled], k=9)
    assert sorted(reranked.doc_ids) == ["d0", "d1", "d2"]


def test_equal_texts_and_empty_ones_are_ranked_like_others(llm: TinyLLM) -> None:
    (reranked,) = ICRReranker(llm=llm).rerank([ranking("same", "same", "", "  \n", "other")], k=9)
    assert sorted(reranked.doc_ids) == ["d0", "d1", "d2", "d3", "d4"]
    assert reranked.outcome.kind == "ok"


@pytest.mark.parametrize("query", ["", "<|im_end|>\x00\x1b[31m[red]", "日本語", "\ud800"])
def test_odd_queries_are_just_text(llm: TinyLLM, query: str) -> None:
    (reranked,) = ICRReranker(llm=llm).rerank([replace(SIX, query=Query(qid="q1", text=query))], k=6)
    assert len(reranked.hits) == 6
    assert reranked.outcome.kind == "ok"


def test_the_null_query_has_its_own_strength(llm: TinyLLM) -> None:
    off: dict[str, Any] = {"token_filter_sigma": 1e9}
    raw = scores(llm, calibrate=False)
    assert scores(llm, null_strength=0.0, **off) == pytest.approx(raw)
    full, half = scores(llm, **off), scores(llm, null_strength=0.5, **off)
    for doc_id, score in raw.items():
        assert half[doc_id] == pytest.approx((score + full[doc_id]) / 2)


def test_a_query_that_is_the_null_query_scores_nothing(llm: TinyLLM) -> None:
    (reranked,) = ICRReranker(llm=llm, null="which city").rerank([SIX], k=6)
    assert all(abs(hit.score) < 1e-6 for hit in reranked.hits)


def test_layers_and_heads_add_up(llm: TinyLLM) -> None:
    everything = scores(llm, calibrate=False)
    parts = [
        scores(llm, calibrate=False, **part)
        for part in ({"layers": (0, 1)}, {"heads": ("2-0", "2-1", "2-2", "2-3")}, {"layers": (3, 3)})
    ]
    for doc_id, score in everything.items():
        assert sum(part[doc_id] for part in parts) == pytest.approx(score, rel=1e-4)


def test_every_choice_changes_the_scores(llm: TinyLLM) -> None:
    choices: list[dict[str, Any]] = [
        {},
        {"instruction": "qa"},
        {"order": "given"},
        {"pool": "mean"},
        {"pool": "top_mean"},
        {"pool": "top_mean", "top_tokens": 2},
        {"null": "nothing"},
        {"token_filter_sigma": 0.5},
        {"calibrate": False},
        {"max_words": 1},
    ]
    found = [tuple(scores(llm, **choice).values()) for choice in choices]
    assert len(set(found)) == len(choices)


def test_more_documents_than_fit_are_read_in_windows(llm: TinyLLM, caplog: pytest.LogCaptureFixture) -> None:
    llm.context_window = 220
    (reranked,) = ICRReranker(llm=llm).rerank([ranking(*(f"some text number {i}" for i in range(12)))], k=12)
    assert reranked.outcome.kind == "repaired"
    assert "of 12 documents fit into one prompt" in reranked.outcome.detail
    assert reranked.outcome.counts["windows"] > 1
    assert reranked.usage.calls == 2 * reranked.outcome.counts["windows"]
    assert len(set(reranked.doc_ids)) == 12
    assert [hit.score for hit in reranked.hits] == [1 / rank for rank in range(1, 13)]
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith("rerank.icr: 1 of 1 rankings not as asked (1 repaired); first: qid 'q1': only ")


def test_windows_that_were_asked_for_are_no_repair(llm: TinyLLM, caplog: pytest.LogCaptureFixture) -> None:
    (reranked,) = ICRReranker(llm=llm, window=4, stride=2).rerank([SIX], k=6)
    assert reranked.outcome.kind == "ok"
    assert reranked.outcome.counts == {"windows": 2}
    assert sorted(reranked.doc_ids) == ["d0", "d1", "d2", "d3", "d4", "d5"]
    assert not caplog.records


def test_a_window_that_holds_everything_is_one_prompt(llm: TinyLLM) -> None:
    assert scores(llm, window=20, stride=10) == scores(llm)


def test_a_document_longer_than_the_context_is_cut_and_said_so(llm: TinyLLM) -> None:
    llm.context_window = 400
    (reranked,) = ICRReranker(llm=llm).rerank([ranking("x" * 3000, "short", "brief")], k=3)
    assert sorted(reranked.doc_ids) == ["d0", "d1", "d2"]
    assert reranked.outcome.kind == "repaired"
    assert reranked.outcome.detail == "1 documents cut to fit"
    assert reranked.outcome.counts == {"cut": 1}


def test_a_query_longer_than_the_context_keeps_the_first_stage(llm: TinyLLM, caplog: pytest.LogCaptureFixture) -> None:
    long = replace(SIX, query=Query(qid="q9", text="long " * 20_000))
    reranked, fine = ICRReranker(llm=llm).rerank([long, SIX], k=4)
    assert reranked.hits == SIX.hits[:4]
    assert reranked.outcome.kind == "fallback"
    assert "leave no room for documents" in reranked.outcome.detail
    assert fine.outcome.kind == "ok"
    assert len(caplog.records) == 1


def test_a_nan_keeps_the_first_stage_and_names_layer_and_head(caplog: pytest.LogCaptureFixture) -> None:
    import torch

    broken = tiny_model("llama")
    broken.model.layers[1].self_attn.q_proj.weight.data[2 * 8] = torch.nan
    reranked = ICRReranker(llm=TinyLLM(broken)).rerank([SIX, SIX], k=4)
    for one in reranked:
        assert one.hits == SIX.hits[:4]
        assert one.outcome.kind == "fallback"
        assert one.outcome.detail == "attention of layer 1, head 2 is not finite; input order kept"
        assert one.outcome.counts == {"fallback": 1}
    (record,) = caplog.records
    assert record.getMessage().startswith("rerank.icr: 2 of 2 rankings not as asked (2 fallback)")


def test_the_model_is_given_back_as_it_was_when_reading_fails(llm: TinyLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    from rerankers.attention.reading import capture

    def fail(*_: Any, **__: Any) -> None:
        assert llm.model.config._attn_implementation == capture.ATTENTION
        raise RuntimeError("out of memory")

    monkeypatch.setattr(capture, "read_suffixes", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        ICRReranker(llm=llm).rerank([SIX], k=3)
    assert llm.model.config._attn_implementation == "sdpa"
    monkeypatch.undo()
    assert ICRReranker(llm=llm).rerank([SIX], k=3)[0].outcome.kind == "ok"


def test_layers_that_are_not_read_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    reranker = ICRReranker(llm=TinyLLM(tiny_model("gemma3")))
    with caplog.at_level(logging.INFO):
        reranker.rerank([SIX], k=3)
        reranker.rerank([SIX], k=3)
    assert [r.getMessage() for r in caplog.records] == [
        "rerank.icr: layers 0, 2 do not attend to the whole prompt and are not read; 2 layers are"
    ]


def test_a_model_whose_layers_all_slide_is_refused_unless_its_prompts_are_short() -> None:
    llm = TinyLLM(tiny_model("mistral", sliding_window=300))
    with pytest.raises(SpecError, match="they see 300 tokens of the 4096 that a prompt may have"):
        ICRReranker(llm=llm).rerank([SIX], k=3)
    llm.context_window = 300
    assert ICRReranker(llm=llm).rerank([SIX], k=3)[0].outcome.kind == "ok"


def test_heads_that_the_model_has_not_are_refused(llm: TinyLLM) -> None:
    with pytest.raises(SpecError, match=r"no head 17-4: this llama has layers 0\.\.3"):
        ICRReranker(llm=llm, heads=("17-4",)).rerank([SIX], k=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"max_words": 0}, "max_words must be at least 1"),
        ({"top_tokens": 0}, "top_tokens must be at least 1"),
        ({"window": 1}, "window must be at least 2"),
        ({"window": 4, "stride": 4}, r"stride must be at least 1 and below window \(4\), got 4"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"layers": (3, 2)}, "first, last"),
        ({"heads": ("a",)}, "layer-head"),
        ({"heads": ("5-0",), "layers": (0, 3)}, r"heads must lie within layers \(0, 3\)"),
        ({"instruction": "x"}, "instruction must be one of qa, ie, got 'x'"),
        ({"order": "x"}, "order must be one of reversed, given"),
        ({"pool": "x"}, "pool must be one of sum, mean, top_mean"),
        ({"token_filter_sigma": -1.0}, "token_filter_sigma must be at least 0"),
        ({"null_strength": math.nan}, "null_strength finite"),
    ],
)
def test_settings_are_checked_when_it_is_made(llm: TinyLLM, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ICRReranker(llm=llm, **settings)
    assert llm.lent == 0


def test_k_is_at_least_one(llm: TinyLLM) -> None:
    with pytest.raises(ValueError, match=r"rerank\.icr: k must be at least 1"):
        ICRReranker(llm=llm).rerank([SIX], k=0)


def test_strings_are_ranked_without_an_index(llm: TinyLLM) -> None:
    texts = [hit.document.text for hit in SIX.hits]
    found = ranked_by(ICRReranker(llm=llm), "which city", texts)
    assert [(f"d{i}", score) for i, score in found] == [
        (hit.doc_id, hit.score) for hit in ICRReranker(llm=llm).rerank([SIX], k=6)[0].hits
    ]
    assert ranked_by(ICRReranker(llm=llm), "which city", []) == []


def test_first_stage_scores_are_not_looked_at(llm: TinyLLM) -> None:
    odd = tuple(ScoredDocument(document=hit.document, score=math.nan) for hit in SIX.hits)
    (reranked,) = ICRReranker(llm=llm).rerank([replace(SIX, hits=odd)], k=6)
    assert {hit.doc_id: hit.score for hit in reranked.hits} == scores(llm)


# What only real weights can show.

QUESTIONS = {
    "d02": "How many days of paid leave does everyone have?",
    "d07": "How precisely is a wheel trued?",
    "d08": "Within how many days may a customer return a bicycle?",
    "d09": "How long is the warranty on frames?",
    "d10": "Whom do I tell about a lost laptop?",
    "d12": "How many signatures does an order above five hundred euros need?",
}


@pytest.fixture(scope="module")
def small() -> TransformersLLM:
    return TransformersLLM(dtype="float32")


@pytest.mark.models
@pytest.mark.slow
def test_a_planted_answer_wins_wherever_it_stands(small: TransformersLLM, documents: tuple[Document, ...]) -> None:
    wins = 0
    for seed, (wanted, question) in enumerate(QUESTIONS.items()):
        order = list(documents)
        random.Random(seed).shuffle(order)
        asked = Ranking(query=Query(qid=wanted, text=question), hits=in_this_order(order))
        (reranked,) = ICRReranker(llm=small).rerank([asked], k=1)
        wins += reranked.doc_ids == (wanted,)
    # By chance: 6 draws at 1 in 12, 3 or more in 1% of cases.
    assert wins >= 3


@pytest.mark.models
@pytest.mark.slow
def test_identical_answers_come_before_everything_else(small: TransformersLLM, documents: tuple[Document, ...]) -> None:
    answer = documents[7].text
    others = [document.text for document in documents[:6]]
    found = ranked_by(
        ICRReranker(llm=small), "Within how many days may a bicycle be returned?", [answer, *others, answer]
    )
    assert sorted(position for position, _ in found[:2]) == [0, 7]


def test_attention_of_a_head_counts_by_its_weight(llm: Any) -> None:
    def scored(**settings: Any) -> list[float]:
        texts = ["Paris", "a city of France", "3 of 4"]
        return [
            score
            for _, score in sorted(
                ranked_by(ICRReranker(llm=llm, token_filter_sigma=99.0, **settings), "which city", texts)
            )
        ]

    one, other = scored(heads=("0-1",)), scored(heads=("2-3",))
    both = scored(heads=("0-1", "2-3"), head_weights={"0-1": 0.5, "2-3": 2.0})
    assert both == pytest.approx([0.5 * a + 2 * b for a, b in zip(one, other, strict=True)], rel=1e-4, abs=1e-7)
    assert scored(heads=("0-1", "2-3"), head_weights={"2-3": 1.0}) == scored(heads=("0-1", "2-3"))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"0-1": float("nan")}, "must be finite"),
        ({"3-1": 1.0}, "which heads leaves out 3-1"),
        ({"x": 1.0}, "layer-head"),
    ],
)
def test_weights_of_heads_that_are_not_read_are_refused(llm: Any, weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ICRReranker(llm=llm, heads=("0-1",), head_weights=weights)
