from __future__ import annotations

import logging
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import SpecError, StageError
from rag.core.ranking import in_this_order
from rag.core.types import Document, Query, Ranking
from rag.pipeline.texts import ranked_by
from rerankers.attention.heads.head_sets import HeadSet
from rerankers.attention.reranker import AttentionReranker
from tests.rerankers.tiny_models import TinyLLM, tiny_model

HEADS = ("0-1", "1-3", "2-0", "2-2")


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model("llama")


@pytest.fixture
def llm(model: Any) -> TinyLLM:
    return TinyLLM(model)


def ranking(*texts: str, query: str = "which city") -> Ranking:
    documents = [Document(doc_id=f"d{i}", text=text) for i, text in enumerate(texts)]
    return Ranking(query=Query(qid="q1", text=query), hits=in_this_order(documents), source="first")


SIX = ranking("Paris", "a city of France", "goggles at the grinder", "3 of 4", "leave", "two words")


def rerank(llm: TinyLLM, given: Ranking = SIX, *, k: int = 100, **settings: Any) -> Ranking:
    settings = {"heads": HEADS, **settings}
    (reranked,) = AttentionReranker(llm=llm, **settings).rerank([given], k=k)
    return reranked


def scores(reranked: Ranking) -> dict[str, float]:
    return {hit.doc_id: hit.score for hit in reranked.hits}


def close(one: Ranking, other: Ranking, *, to: float = 1e-4) -> bool:
    return scores(one) == pytest.approx(scores(other), abs=to)


def test_order_of_the_candidates_does_not_matter(llm: TinyLLM) -> None:
    hits = list(SIX.hits)
    random.Random(3).shuffle(hits)
    assert close(rerank(llm, replace(SIX, hits=tuple(hits))), rerank(llm))


def test_a_document_counts_the_same_beside_any_others(llm: TinyLLM) -> None:
    """Standardised scores depend on the company; which of two documents is ahead does not."""
    one_head = rerank(llm, replace(SIX, hits=SIX.hits[:3]), heads=HEADS[:1])
    assert list(one_head.doc_ids) == [d for d in rerank(llm, heads=HEADS[:1]).doc_ids if d in ("d0", "d1", "d2")]


def test_the_same_in_any_batch(llm: TinyLLM) -> None:
    others = [ranking("one", "two three", query="other"), SIX, ranking("four", "five", "six", query="a third one")]
    batch = AttentionReranker(llm=llm, heads=HEADS).rerank(others, k=9)
    assert close(batch[1], rerank(llm))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_candidates_need_no_model(llm: TinyLLM, n: int) -> None:
    few = replace(SIX, hits=SIX.hits[:n])
    assert rerank(llm, few).hits == few.hits
    assert llm.lent == 0


def test_identical_documents_get_the_same_score(llm: TinyLLM) -> None:
    found = scores(rerank(llm, ranking("same text", "another", "same text", "")))
    assert found["d0"] == found["d2"]
    assert found["d0"] != found["d1"]


def test_nothing_but_identical_documents_keeps_doc_id_order(llm: TinyLLM) -> None:
    alike = rerank(llm, ranking("same", "same", "same"))
    assert alike.doc_ids == ("d0", "d1", "d2")
    assert set(scores(alike).values()) == {0.0}


def test_an_empty_document_is_ranked_like_others(llm: TinyLLM) -> None:
    assert sorted(rerank(llm, ranking("", "text", " \n ")).doc_ids) == ["d0", "d1", "d2"]


def test_a_document_longer_than_the_context_is_cut(llm: TinyLLM) -> None:
    long = "word " * 20_000
    found = rerank(llm, ranking("short", long, long + "and more"))
    assert scores(found)["d1"] == scores(found)["d2"]
    assert found.usage.prompt_tokens < 400


def test_a_query_longer_than_its_limit_is_cut_and_said_so(llm: TinyLLM, caplog: pytest.LogCaptureFixture) -> None:
    found = rerank(llm, replace(SIX, query=Query(qid="q1", text="city " * 9000)), max_query_tokens=16)
    assert (found.outcome.kind, found.outcome.detail) == ("repaired", "query cut")
    assert "1 of 1 rankings not as asked; first: qid 'q1': query cut" in caplog.text


@pytest.mark.parametrize("text", ["", "   ", "\x00"])
def test_a_query_without_words_still_ranks(llm: TinyLLM, text: str) -> None:
    assert len(rerank(llm, replace(SIX, query=Query(qid="q1", text=text))).hits) == 6


def test_five_thousand_candidates(llm: TinyLLM) -> None:
    texts = [f"text {i % 50}" for i in range(5000)]
    found = rerank(llm, ranking(*texts), k=10)
    assert len(found.hits) == 10
    assert found.usage.prompt_tokens < 5000  # fifty texts, each read once


def test_attention_that_is_not_finite_keeps_the_order(caplog: pytest.LogCaptureFixture) -> None:
    import torch

    broken = tiny_model("llama", seed=1)
    broken.model.layers[2].self_attn.q_proj.weight.data[2 * 8] = torch.nan
    found = rerank(TinyLLM(broken))
    assert found.doc_ids == SIX.doc_ids
    assert found.outcome.kind == "fallback"
    assert "layer 2, head 2 is not finite" in found.outcome.detail
    assert "not as asked" in caplog.text


def test_depth_leaves_the_rest_behind(llm: TinyLLM) -> None:
    found = rerank(llm, depth=3)
    assert set(found.doc_ids[:3]) == {"d0", "d1", "d2"}
    assert found.doc_ids[3:] == ("d3", "d4", "d5")
    falling = [hit.score for hit in found.hits]
    assert falling == sorted(falling, reverse=True)


def test_the_first_stage_can_have_a_say(llm: TinyLLM) -> None:
    alone, mixed, first = (rerank(llm, first_stage_weight=weight) for weight in (0, 0.5, 1))
    assert first.doc_ids == SIX.doc_ids
    expected = {}
    for doc_id, score in scores(alone).items():
        spread = standard(list(scores(alone).values()), score)
        expected[doc_id] = 0.5 * spread + 0.5 * standard([hit.score for hit in SIX.hits], scores_of(SIX)[doc_id])
    assert scores(mixed) == pytest.approx(expected, abs=1e-9)


def standard(values: list[float], value: float) -> float:
    mean = sum(values) / len(values)
    return float((value - mean) / (sum((each - mean) ** 2 for each in values) / len(values)) ** 0.5)


def scores_of(given: Ranking) -> dict[str, float]:
    return {hit.doc_id: hit.score for hit in given.hits}


def test_time_that_runs_out_is_said(llm: TinyLLM, caplog: pytest.LogCaptureFixture) -> None:
    found = rerank(llm, step=2, budget_ms=1e-6)
    assert found.outcome.kind == "repaired"
    assert found.outcome.detail == "time ran out: 2 of 6 candidates read"
    assert set(found.doc_ids[:2]) == {"d0", "d1"}
    assert found.doc_ids[2:] == ("d2", "d3", "d4", "d5")


def test_time_enough_reads_all(llm: TinyLLM) -> None:
    assert close(rerank(llm, step=2, budget_ms=1e6), rerank(llm))


def test_a_clear_lead_ends_the_reading(llm: TinyLLM) -> None:
    texts = [f"passage {i} about things" for i in range(40)]
    all_of_it = rerank(llm, ranking(*texts), step=4, margin=100.0, k=2)
    some = rerank(llm, ranking(*texts), step=4, margin=0.01, k=2)
    assert all_of_it.outcome.counts.get("read") is None
    assert 4 < some.outcome.counts["read"] < 40
    assert some.outcome.kind == "ok"


def test_a_null_query_changes_scores_by_its_strength(llm: TinyLLM) -> None:
    plain, half, full = (rerank(llm, null_strength=strength, heads=HEADS[:1]) for strength in (0.0, 0.5, 1.0))
    assert not close(plain, half)
    assert not close(half, full)


def test_a_null_query_ranks_nothing_against_itself(llm: TinyLLM) -> None:
    asked = replace(SIX, query=Query(qid="q1", text="N/A"))
    found = rerank(llm, asked, null_strength=1.0)
    assert set(scores(found).values()) == {0.0}


def test_several_nulls_are_averaged(llm: TinyLLM) -> None:
    twice = rerank(llm, null_strength=1.0, nulls=("N/A", "N/A"))
    assert close(twice, rerank(llm, null_strength=1.0))


def test_span_and_instruction_are_options(llm: TinyLLM) -> None:
    settings: list[dict[str, Any]] = [{}, {"span": "suffix"}, {"instruction": "none"}, {"over": "best"}]
    variants = [rerank(llm, **each) for each in settings]
    assert all(not close(one, other) for i, one in enumerate(variants) for other in variants[:i])


def test_a_model_without_rotary_positions_is_refused() -> None:
    with pytest.raises(SpecError, match=r"gpt2 model has no rotary positions.*layout: prompt"):
        rerank(TinyLLM(tiny_model("gpt2")))


def test_heads_that_the_model_does_not_have_are_refused(llm: TinyLLM) -> None:
    with pytest.raises(SpecError, match="there is no head 9-1"):
        rerank(llm, heads=("9-1",))


def saved(folder: Path, **changes: Any) -> str:
    settings = {"model": "tiny", "layers": 4, "heads_per_layer": 4, "weights": dict.fromkeys(HEADS, 1.0), **changes}
    path = folder / "heads.json"
    HeadSet(**settings).save(path)
    return str(path)


def test_a_head_set_from_a_file(llm: TinyLLM, tmp_path: Path) -> None:
    assert close(rerank(llm, heads=saved(tmp_path)), rerank(llm))


def test_a_head_set_brings_its_own_settings(llm: TinyLLM, tmp_path: Path) -> None:
    heads = saved(tmp_path, over="best", null_strength=0.5)
    assert close(rerank(llm, heads=heads), rerank(llm, over="best", null_strength=0.5))
    assert close(rerank(llm, heads=heads, over="all", null_strength=0.0), rerank(llm))


def test_weights_of_heads_count(llm: TinyLLM, tmp_path: Path) -> None:
    heads = saved(tmp_path, weights={"0-1": 1.0, "1-3": 0.0, "2-0": 0.0, "2-2": 0.0})
    assert close(rerank(llm, heads=heads), rerank(llm, heads=("0-1",)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 30, "heads_per_layer": 9}, "is for 30 layers of 9 heads, and this model has 4 of 4"),
        ({"weight_hash": "0" * 64}, "found for weights 000000000000, and these are"),
        ({"layout": "prompt", "weight_hash": "0" * 64}, "found with layout prompt, not blocks"),
    ],
)
def test_a_head_set_for_another_model_is_refused(
    llm: TinyLLM, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        rerank(llm, heads=saved(tmp_path, **changes))


@pytest.mark.parametrize("content", ["", "{", '{"model": "x"}', '{"weights": {"a": 1}}'])
def test_a_file_that_is_no_head_set_is_refused(llm: TinyLLM, tmp_path: Path, content: str) -> None:
    path = tmp_path / "heads.json"
    path.write_text(content)
    with pytest.raises(SpecError, match=r"head set '.*heads.json': .*rag heads find"):
        rerank(llm, heads=str(path))


def test_a_head_set_that_is_not_there_is_named(llm: TinyLLM) -> None:
    with pytest.raises(SpecError, match=r"head set 'nowhere\.json' cannot be read"):
        rerank(llm, heads="nowhere.json")


def test_an_unknown_model_is_read_whole_and_said_so(llm: TinyLLM, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = rerank(llm, heads="auto")
    assert "no head set is known for llama" in caplog.text
    assert found.outcome.kind == "ok"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "depth must be at least 1"),
        ({"max_tokens": 7}, "max_tokens must be at least 8"),
        ({"first_stage_weight": 1.5}, "first_stage_weight must be within 0 and 1"),
        ({"margin": 0.0}, "margin must be above 0"),
        ({"budget_ms": -1.0}, "budget_ms must be above 0"),
        ({"null_strength": float("nan")}, "null_strength must be finite"),
        ({"null_strength": 1.0, "nulls": ()}, "a null_strength needs nulls"),
        ({"instruction": "x"}, "instruction must be one of qa, ie, none"),
        ({"span": "x"}, "span must be one of"),
        ({"keep": "x"}, "keep must be one of"),
        ({"keep_as": "x"}, "keep_as must be one of"),
        ({"over": "x"}, "over must be one of"),
        ({"heads": ("17",)}, "heads are named layer-head"),
    ],
)
def test_bad_settings_are_refused(llm: TinyLLM, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AttentionReranker(llm=llm, **settings)


def test_the_model_comes_back_as_it_was(llm: TinyLLM) -> None:
    rerank(llm)
    assert llm.model.config._attn_implementation == "sdpa"


def test_usage_counts_tokens_that_went_through_the_model(llm: TinyLLM) -> None:
    found = rerank(llm, ranking("one text", "one text", "another"))
    assert found.usage.cached_tokens == 0
    assert found.usage.prompt_tokens > 0
    assert found.usage.seconds > 0


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_what_was_read_once_is_not_read_again(llm: TinyLLM, kind: str) -> None:
    reranker = AttentionReranker(llm=llm, heads=HEADS, keep_as=kind)  # type: ignore[arg-type]
    first, again = (reranker.rerank([SIX], k=6)[0] for _ in range(2))
    assert first.hits == again.hits
    assert first.usage.cached_tokens == 0
    assert again.usage.cached_tokens == again.usage.prompt_tokens - len(reranker._reading[0].query("which city")[0])  # type: ignore[index]
    report = reranker.states()
    assert report is not None
    assert (report.kept, report.hits, report.misses) == (6, 6, 6)


def test_the_first_pass_finds_nothing_and_the_second_everything(llm: TinyLLM) -> None:
    reranker = AttentionReranker(llm=llm, heads=HEADS)
    for expected in ((0, 6), (6, 6)):
        reranker.rerank([SIX], k=6)
        report = reranker.states()
        assert report is not None
        assert (report.hits, report.misses) == expected


def test_a_score_does_not_depend_on_whether_there_was_room_to_keep_its_document(llm: TinyLLM) -> None:
    """The last of these documents fit into the budget and the first do not; all are scored from rounded numbers."""
    many = ranking(*[f"passage {i} of {i % 7} about the city" for i in range(5_000)])
    roomy, tight, exact = (
        rerank(llm, many, k=5_000, heads=HEADS[:1], **settings)
        for settings in ({"keep_mb": 512}, {"keep_mb": 1}, {"keep": "nowhere"})
    )
    assert tight.hits == roomy.hits
    assert close(tight, exact, to=0.05)


def test_kept_states_are_close_to_fresh_ones(llm: TinyLLM) -> None:
    fresh = rerank(llm, keep="nowhere")
    assert close(rerank(llm, keep_as="bfloat16"), fresh, to=0.05)
    assert close(rerank(llm, keep_as="int8"), fresh, to=0.1)


def test_states_on_disk_serve_the_next_process(llm: TinyLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))
    first = rerank(llm, keep="disk")
    again = rerank(llm, keep="disk")  # another reranker, as another process would have
    assert first.hits == again.hits
    assert again.usage.cached_tokens > 0


def test_documents_read_ahead_are_not_read_when_asked_for(
    llm: TinyLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))
    documents = [hit.document for hit in SIX.hits]
    assert AttentionReranker(llm=llm, heads=HEADS, keep="disk").read_ahead(documents) == 6
    later = AttentionReranker(llm=llm, heads=HEADS, keep="disk")
    (found,) = later.rerank([SIX], k=6)
    assert found.usage.cached_tokens == found.usage.prompt_tokens - len(later._reading[0].query("which city")[0])  # type: ignore[index]
    assert later.read_ahead(documents) == 0
    assert found.hits == rerank(llm, keep="memory").hits


def test_reading_ahead_ends_where_the_budget_does(llm: TinyLLM, caplog: pytest.LogCaptureFixture) -> None:
    reranker = AttentionReranker(llm=llm, heads=HEADS, keep="memory", keep_mb=1)
    assert 0 < reranker.read_ahead(numbered(0, 5_000)) < 5_000
    assert "raise it to keep all" in caplog.text


def numbered(first: int, n: int) -> list[Document]:
    return [Document(doc_id=f"d{i}", text=f"{i} " + "which city is it " * 20) for i in range(first, first + n)]


ALL_PAIRS = ("0-0", "0-2", "1-0", "1-2", "2-0", "2-2", "3-0", "3-2")


@pytest.mark.parametrize("full_of", ["other weights and heads", "another corpus"])
def test_a_folder_full_of_other_states_does_not_end_reading_ahead(
    full_of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))

    def reranker(seed: int, heads: tuple[str, ...]) -> AttentionReranker:
        return AttentionReranker(llm=TinyLLM(tiny_model("llama", seed=seed)), heads=heads, keep="disk", keep_mb=1)

    before = reranker(1, ALL_PAIRS) if full_of == "other weights and heads" else reranker(2, HEADS[:1])
    assert before.read_ahead(numbered(10_000, 2_000)) < 2_000  # it is full now
    caplog.clear()
    later, documents = reranker(2, HEADS[:1]), numbered(0, 200)
    assert later.read_ahead(documents) == 200
    assert "raise it to keep all" not in caplog.text
    assert later.read_ahead(documents) == 0


def test_reading_ahead_ends_at_the_same_place_when_it_is_done_again(
    llm: TinyLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept before counts too: else every call would go on where the last one ended, and push out its work."""
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))
    ends: list[int] = []

    def read(what: str, n_done: int, n_all: int) -> None:
        ends[-1] = n_done

    for _ in range(2):
        ends.append(0)
        AttentionReranker(llm=llm, heads=HEADS, keep="disk", keep_mb=1).read_ahead(numbered(0, 2_000), progress=read)
    assert 0 < ends[0] == ends[1] < 2_000


def test_equal_documents_fill_the_budget_once(llm: TinyLLM, caplog: pytest.LogCaptureFixture) -> None:
    same = [Document(doc_id=f"d{i}", text="which city is it " * 20) for i in range(2_000)]
    reranker = AttentionReranker(llm=llm, heads=HEADS, keep="memory", keep_mb=1)
    assert reranker.read_ahead(same) == 1
    assert "raise it to keep all" not in caplog.text


@pytest.mark.parametrize("settings", [{"keep": "nowhere"}, {"layout": "prompt"}])
def test_what_keeps_nothing_refuses_to_read_ahead(llm: TinyLLM, settings: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="reads ahead only with"):
        AttentionReranker(llm=llm, heads=HEADS, **settings).read_ahead([SIX.hits[0].document])


def test_a_report_says_what_kept_states_saved(llm: TinyLLM) -> None:
    reranker = AttentionReranker(llm=llm, heads=HEADS)
    reranker.rerank([SIX], k=6)
    assert reranker.states().seconds_saved == 0  # type: ignore[union-attr]
    for _ in range(2):
        reranker.rerank([SIX], k=6)
    first = reranker._reading[0]._encoding_seconds  # type: ignore[index]
    assert reranker.states().seconds_saved == pytest.approx(2 * first)  # type: ignore[union-attr]


def test_states_of_other_weights_are_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))
    rerank(TinyLLM(tiny_model("llama", seed=1)), keep="disk")
    other = TinyLLM(tiny_model("llama", seed=2))
    found = rerank(other, keep="disk")
    assert found.usage.cached_tokens == 0
    assert close(found, rerank(other, keep="memory"))


def test_a_full_disk_costs_the_kept_states_alone(
    llm: TinyLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "states").write_text("a file where the folder should be")
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))
    assert close(rerank(llm, keep="disk"), rerank(llm, keep="memory"))
    assert "states" in caplog.text


def test_parts_and_separator_make_the_whole(llm: TinyLLM) -> None:
    from rerankers.attention.reading.capture import attention_switched

    reranker = AttentionReranker(llm=llm, heads=HEADS)
    with llm.weights() as lent:
        reader, _ = reranker._reader(lent)
        with attention_switched(reader.decoder):
            (asked,) = reader.ask([reader.query("which city")[0]])
            (keys,) = reader.read([reader.block(SIX.hits[1].document)[0]]).keys
    for over in ("all", "best"):
        parts = reader.match_tokens(asked, keys, over=over)
        whole = reader.match(asked, [keys], over=over)
        assert parts.sum(1).numpy() == pytest.approx(whole[:, 0].numpy(), rel=1e-5)


def test_spans_point_into_the_text_and_not_the_title(llm: TinyLLM) -> None:
    document = Document(doc_id="d", title="A long title", text="  city of light")
    parts = AttentionReranker(llm=llm, heads=HEADS).explain("city", document)
    covered = "".join(document.text[part.start : part.end] for part in parts)
    assert covered.split() == ["city", "of", "light"]


def test_one_prompt_is_an_option_of_the_same_class(llm: TinyLLM) -> None:
    from rerankers.attention.icr.reranker import ICRReranker

    found = rerank(llm, layout="prompt", null_strength=1.0)
    (icr,) = ICRReranker(llm=llm, heads=HEADS).rerank([SIX], k=6)
    assert close(found, icr)
    mixed = rerank(llm, layout="prompt", null_strength=1.0, first_stage_weight=1)
    assert mixed.doc_ids == SIX.doc_ids


def test_published_heads_are_matched_by_name_and_size_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    from types import SimpleNamespace

    from rerankers.attention.heads.head_sets import find_head_set

    config = SimpleNamespace(num_hidden_layers=32, num_attention_heads=32)
    found = find_head_set(config, name="meta-llama/Llama-3.1-8B-Instruct", weight_hash="0" * 64, layout="prompt")
    assert found is not None
    assert "were not tried on these weights" in caplog.text
    smaller = SimpleNamespace(num_hidden_layers=16, num_attention_heads=32)
    assert find_head_set(smaller, name="Llama-3.1-8B-Instruct", weight_hash="0" * 64, layout="prompt") is None
    assert find_head_set(config, name="Llama-3.1-8B", weight_hash="0" * 64, layout="prompt") is None


def test_shipped_sets_are_valid_and_name_their_source() -> None:
    from rerankers.attention.heads.head_sets import shipped_head_sets

    sets = shipped_head_sets()
    assert len(sets) >= 8
    for each in sets:
        assert each.weight_hash or each.source.startswith("arXiv")
        assert max(each.by_layer) < each.layers
        assert max(max(heads) for heads in each.by_layer.values()) < each.heads_per_layer


# ---- many queries, many documents


QUERIES = ("which city", "what protects eyes", "3 of 4", "a", "how many days of leave are left to me this year")


def test_queries_of_one_call_are_asked_together_and_nulls_once(llm: TinyLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    from rerankers.attention.reading import reader

    asked: list[int] = []

    def counted(*given: Any, **settings: Any) -> Any:
        asked.append(len(given[2]))
        return encode(*given, **settings)

    encode = reader.encode_queries
    monkeypatch.setattr(reader, "encode_queries", counted)
    reranker = AttentionReranker(llm=llm, heads=HEADS, null_strength=1.0)
    rankings = [replace(SIX, query=Query(qid=f"q{i}", text=text)) for i, text in enumerate(QUERIES)]
    together = reranker.rerank(rankings, k=6)
    reranker.rerank(rankings[:2], k=6)
    assert sorted(asked) == [1, 2, 5]  # the null, and the two calls
    for ranking_, found in zip(rankings, together, strict=True):
        assert close(found, rerank(llm, ranking_, null_strength=1.0))
        assert found.usage.seconds > 0


def test_what_queries_take_bounds_how_many_are_asked_together(llm: TinyLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    from rerankers.attention.reading import reader

    made = AttentionReranker(llm=llm, heads=HEADS)
    with llm.weights() as lent:
        block_reader, _ = made._reader(lent)
    queries = [[1] * 3, [1] * 3, [1] * 9, [1]]
    row = 4 * len(HEADS) * 8  # bytes: heads of eight numbers
    for bytes_, expected in ((6 * row, [2, 1, 1]), (10 * row, [2, 2]), (row, [1, 1, 1, 1]), (99 * row, [4])):
        monkeypatch.setattr(reader, "_ASKED_BYTES", bytes_)
        parts = list(block_reader.together(queries))
        assert [len(queries[part]) for part in parts] == expected
        assert [ids for part in parts for ids in queries[part]] == queries
    assert list(block_reader.together([])) == []


def test_keys_are_in_memory_for_part_of_the_documents_at_a_time(llm: TinyLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    from rerankers.attention.reading import reader
    from rerankers.attention.reading.reader import BlockReader

    sizes: list[int] = []
    read = BlockReader.read

    def counted(self: BlockReader, blocks: Any) -> Any:
        sizes.append(len(blocks))
        return read(self, blocks)

    whole = rerank(llm, keep="nowhere")
    monkeypatch.setattr(BlockReader, "read", counted)
    monkeypatch.setattr(reader, "_KEYS_BYTES", 2 * 4 * 4 * 8 * 128)  # two documents of 128 tokens, four pairs of 8
    parts = rerank(llm, keep="nowhere")
    assert sizes == [2, 2, 2]
    assert close(parts, whole)
    assert parts.usage.prompt_tokens == whole.usage.prompt_tokens


# ---- nulls, layouts and windows


def test_the_instruction_can_be_left_out_before_the_null(llm: TinyLLM) -> None:
    with_it, without = (rerank(llm, null_strength=1.0, null_instruction=each) for each in (True, False))
    assert not close(with_it, without)
    uninstructed = {"null_strength": 1.0, "instruction": "none"}
    assert close(rerank(llm, **uninstructed), rerank(llm, **uninstructed, null_instruction=False))
    suffix = {"null_strength": 1.0, "span": "suffix"}
    assert not close(rerank(llm, **suffix), rerank(llm, **suffix, null_instruction=False))


@pytest.mark.parametrize("settings", [{"instruction": "none"}, {"nulls": ("N/A", "none")}, {"null_instruction": False}])
def test_what_one_prompt_cannot_do_is_refused_at_once(llm: TinyLLM, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"layout: prompt has an instruction .* and one null"):
        AttentionReranker(llm=llm, layout="prompt", **settings)


def test_weights_of_heads_count_in_one_prompt_too(llm: TinyLLM, tmp_path: Path) -> None:
    one = saved(tmp_path, layout="prompt", weights={"0-1": 2.0, "1-3": 0.0, "2-0": 0.0, "2-2": 0.0})
    twice, once = rerank(llm, layout="prompt", heads=one), rerank(llm, layout="prompt", heads=("0-1",))
    assert scores(twice) == pytest.approx({doc_id: 2 * score for doc_id, score in scores(once).items()}, rel=1e-5)


def test_one_prompt_without_nulls_subtracts_none(llm: TinyLLM, tmp_path: Path) -> None:
    heads = saved(tmp_path, layout="prompt", null_strength=1.0)
    without = rerank(llm, layout="prompt", heads=heads, nulls=())
    assert close(without, rerank(llm, layout="prompt", heads=heads, null_strength=0.0))
    assert not close(without, rerank(llm, layout="prompt", heads=heads))


@pytest.mark.parametrize("family", ["gemma2", "gemma3"])
def test_without_a_head_set_one_prompt_reads_the_layers_that_see_all_of_it(
    family: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Their windows of 600 hold a document and a query, and not a prompt."""
    llm = TinyLLM(tiny_model(family, sliding_window=600))
    assert rerank(llm, layout="prompt", heads="auto").outcome.kind == "ok"
    assert "all heads but those of layers 0, 2, which do not attend to the whole prompt, are read" in caplog.text


def test_without_a_head_set_blocks_read_the_layers_that_see_opening_and_lead_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A window of 512 holds 256 tokens of a document and 256 of a query, but not what stands around them."""
    llm = TinyLLM(tiny_model("gemma3", sliding_window=512))
    reranker = AttentionReranker(llm=llm, heads="auto", max_tokens=256)
    for _ in range(2):
        (found,) = reranker.rerank([SIX], k=6)
        assert found.outcome.kind == "ok"
    assert caplog.text.count("layers 0, 2, which do not attend to the whole prompt") == 1


def test_a_context_window_without_room_for_query_and_document_is_named(model: Any) -> None:
    with pytest.raises(SpecError, match=r"128 tokens \(max_tokens\).* window has 300\. Lower one of them"):
        rerank(TinyLLM(model, context_window=300))
    assert rerank(TinyLLM(model, context_window=300), max_query_tokens=64).outcome.kind == "ok"


def test_documents_that_were_cut_are_counted(llm: TinyLLM) -> None:
    found = rerank(llm, ranking("short", "word " * 400, "other " * 20_000, "short too"), max_tokens=32)
    assert (found.outcome.kind, found.outcome.counts) == ("ok", {"cut": 2})
    assert rerank(llm).outcome.counts == {}


def test_a_tokenizer_without_a_chat_template_will_do(model: Any) -> None:
    from tests.rag.tiny_tokenizers import tiny_tokenizer

    tokenizer = tiny_tokenizer("chatml")
    tokenizer.chat_template = None
    plain = TinyLLM(model, tokenizer=tokenizer)
    found = rerank(plain)
    assert sorted(found.doc_ids) == sorted(SIX.doc_ids)
    assert not close(found, rerank(TinyLLM(model)))  # another opening
    assert close(found, rerank(plain, replace(SIX, hits=SIX.hits[::-1])))


# ---- which heads


@pytest.mark.parametrize("given", ["0-1", " 0-1 ", ("0-1",)])
def test_one_head_may_stand_without_brackets(llm: TinyLLM, given: Any) -> None:
    assert close(rerank(llm, heads=given), rerank(llm, heads=["0-1"]))


def test_heads_may_stand_in_one_string(llm: TinyLLM) -> None:
    assert close(rerank(llm, heads=", ".join(HEADS)), rerank(llm))


@pytest.mark.parametrize("given", ["nowhere.json", "17-4x"])
def test_heads_that_are_no_file_are_found_before_the_model_is(llm: TinyLLM, given: str) -> None:
    with pytest.raises(SpecError, match=r"cannot be read.*a name of `rag heads list`, heads such as 17-4, or the path"):
        AttentionReranker(llm=llm, heads=given)


def test_a_check_of_the_graph_finds_them_too(tmp_path: Path) -> None:
    from rag.graph.check import check
    from rag.graph.load import load_spec

    graph = """
version: 1
models: {{small: {{use: llm.transformers, with: {{model: smollm2-135m-instruct}}}}}}
nodes:
  bm25: {{use: retrieve.bm25, in: query, k: 10}}
  ranked: {{use: rerank.attention, in: bm25, k: 10, with: {{llm: small, heads: {heads}}}}}
output: ranked
"""
    path = tmp_path / "graph.yaml"
    path.write_text(graph.format(heads="17-4"))
    assert check(load_spec(str(path))).problems == []
    path.write_text(graph.format(heads="nowhere.json"))
    [problem] = check(load_spec(str(path))).problems
    assert "head set 'nowhere.json' cannot be read" in problem


def test_a_set_of_the_package_is_named(llm: TinyLLM) -> None:
    with pytest.raises(SpecError, match=r"head set of Llama-3\.1-8B-Instruct is for 32 layers of 32 heads"):
        rerank(llm, heads="llama-3.1-8b-instruct.qrhead")


def test_heads_found_in_one_prompt_are_used_for_blocks_only_with_a_warning(
    llm: TinyLLM, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from types import SimpleNamespace

    from rerankers.attention.heads.head_sets import find_head_set

    said = "were not tried on these weights, and were found with layout prompt, not blocks"
    config = SimpleNamespace(num_hidden_layers=32, num_attention_heads=32)
    assert find_head_set(config, name="Llama-3.1-8B-Instruct", weight_hash="0" * 64, layout="blocks") is not None
    assert said in caplog.text
    caplog.clear()
    assert close(rerank(llm, heads=saved(tmp_path, layout="prompt")), rerank(llm))
    assert said in caplog.text


def test_a_snapshot_of_the_hub_is_known_by_its_model_and_not_its_commit(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from rerankers.attention.heads.head_sets import find_head_set
    from rerankers.attention.heads.identity import name_of

    folder = tmp_path / "models--meta-llama--Llama-3.2-1B-Instruct" / "snapshots" / ("0a" * 20)
    model = tiny_model("llama")
    model.save_pretrained(folder)
    loaded = type(model).from_pretrained(folder)
    assert name_of(loaded) == "meta-llama/Llama-3.2-1B-Instruct"
    config = SimpleNamespace(num_hidden_layers=16, num_attention_heads=32)
    found = find_head_set(config, name=name_of(loaded), weight_hash="0" * 64, layout="prompt")
    assert found is not None
    assert found.model == "Llama-3.2-1B-Instruct"


# ---- why


def test_parts_among_candidates_are_divided_by_each_heads_spread_over_them(llm: TinyLLM) -> None:
    from rerankers.attention.reading.capture import attention_switched

    documents = [hit.document for hit in SIX.hits]

    def parts(heads: tuple[str, ...], **settings: Any) -> list[float]:
        reranker = AttentionReranker(llm=llm, heads=heads, keep="nowhere")
        return [part.score for part in reranker.explain("which city", documents[1], **settings)]

    def spread(head: str) -> float:
        reranker = AttentionReranker(llm=llm, heads=(head,), keep="nowhere")
        with llm.weights() as lent:
            reader, _ = reranker._reader(lent)
            with attention_switched(reader.decoder):
                (asked,) = reader.ask([reader.query("which city")[0]])
                keys = reader.read([reader.block(each)[0] for each in documents]).keys
        return float(reader.match(asked, keys, over="all").double().std(correction=0))

    by_head = [[part / spread(head) for part in parts((head,))] for head in HEADS]
    assert parts(HEADS, among=documents) == pytest.approx([sum(each) for each in zip(*by_head, strict=True)], rel=1e-4)
    assert parts(HEADS, among=documents) != pytest.approx(parts(HEADS), rel=1e-2)


def test_among_documents_that_are_all_alike_nothing_counts(llm: TinyLLM) -> None:
    document = SIX.hits[1].document
    parts = AttentionReranker(llm=llm, heads=HEADS).explain("which city", document, among=[document, document])
    assert {part.score for part in parts} == {0.0}


def test_one_prompt_explains_nothing(llm: TinyLLM) -> None:
    with pytest.raises(SpecError, match="only with layout: blocks"):
        AttentionReranker(llm=llm, heads=HEADS, layout="prompt").explain("which city", SIX.hits[0].document)


def test_attention_that_is_not_finite_is_not_explained() -> None:
    import torch

    broken = tiny_model("llama", seed=1)
    broken.model.layers[2].self_attn.q_proj.weight.data[2 * 8] = torch.nan
    with pytest.raises(StageError, match="layer 2, head 2 is not finite, so the score of 'd1' cannot be explained"):
        AttentionReranker(llm=TinyLLM(broken), heads=HEADS).explain("which city", SIX.hits[1].document)


# ---- strings


def test_strings_are_ranked_without_an_index(llm: TinyLLM) -> None:
    texts = [hit.document.text for hit in SIX.hits]
    ranked = ranked_by(AttentionReranker(llm=llm, heads=HEADS), "which city", texts)
    assert [(f"d{at}", score) for at, score in ranked] == [(hit.doc_id, hit.score) for hit in rerank(llm).hits]
    assert ranked_by(AttentionReranker(llm=llm, heads=HEADS), "which city", []) == []


# ---- kept states


def test_a_damaged_state_is_read_anew_and_counted(
    llm: TinyLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))
    first = rerank(llm, keep="disk")
    (states,) = tmp_path.glob("states/*/*.states")
    content = bytearray(states.read_bytes())
    content[len(content) // 2] ^= 1
    states.write_bytes(content)
    reranker = AttentionReranker(llm=llm, heads=HEADS, keep="disk")
    for _ in range(2):
        (again,) = reranker.rerank([SIX], k=6)
        assert again.hits == first.hits
    report = reranker.states()
    assert report is not None
    assert (report.damaged, report.misses) == (1, 1)
    assert caplog.text.count("are damaged") == 1


def test_states_of_the_same_weights_put_together_otherwise_are_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotary base and norms stand in config.json, which says nothing of itself in the weights' hash."""
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path))
    rerank(TinyLLM(tiny_model("llama")), keep="disk")
    other = TinyLLM(tiny_model("llama", rope_parameters={"rope_type": "default", "rope_theta": 50.0}))
    found = rerank(other, keep="disk")
    assert found.usage.cached_tokens == 0
    assert close(found, rerank(other, keep="memory"))
    assert rerank(TinyLLM(tiny_model("llama")), keep="disk").usage.cached_tokens > 0


def test_of_several_published_sets_the_shallow_one_is_taken_and_others_are_named() -> None:
    from types import SimpleNamespace

    from rerankers.attention.heads.head_sets import find_head_set, named_head_sets

    named = named_head_sets()
    for model, size in (
        ("Mistral-7B-Instruct-v0.2", (32, 32)),
        ("phi-4", (40, 40)),
        ("granite-3.2-8b-instruct", (40, 32)),
    ):
        config = SimpleNamespace(num_hidden_layers=size[0], num_attention_heads=size[1])
        found = find_head_set(config, name=model, weight_hash="0" * 64, layout="prompt")
        assert found == named[f"{model.lower()}.core"]
        full = named[f"{model.lower()}.core-full"]
        assert (full.method, len(full.weights)) == ("CoRe, full depth", 8)
        assert max(full.by_layer) > max(found.by_layer)
    overlap = (
        named["llama-3.1-8b-instruct.qrhead-longmemeval"].weights.keys() & named["llama-3.1-8b-instruct.core"].weights
    )
    assert len(overlap) == 7  # known to be seven of eight: a slip of the pen would show


@pytest.mark.parametrize(("keep", "times"), [("memory", 1), ("nowhere", 2)])
def test_texts_are_turned_into_tokens_once_where_states_are_kept(
    llm: TinyLLM, keep: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rerankers.attention.reading import reader

    encoded, encode = list[str](), reader.encode_text
    monkeypatch.setattr(reader, "encode_text", lambda tokenizer, text: encoded.append(text) or encode(tokenizer, text))
    reranker = AttentionReranker(llm=llm, heads=HEADS, keep=keep)
    first, second = (
        reranker.rerank([replace(SIX, query=Query(qid="q", text=text))], k=9)[0] for text in ("which city", "what eyes")
    )
    assert set(scores(first)) == set(scores(second))
    for hit in SIX.hits:
        assert encoded.count(hit.document.text) == times
