"""What is run, in which order, and what makes a line of results stale."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import prompts
from benchmarks import methods_list, methods_prompts
from benchmarks.make_samples import SAMPLES
from benchmarks.methods_list import METHODS, Method, cells
from benchmarks.methods_prompts import TABLES, prompts_of
from benchmarks.methods_sets import SETS
from benchmarks.methods_study import LARGE
from generators.llm.scripted import ScriptedLLM
from prompts.template import LIBRARY
from rag.core.plugins import file_named
from rag.graph.signature import signature
from rerankers import RERANKERS


def method(name: str) -> Method:
    found, *_ = (m for m in METHODS if m.name == name)
    return found


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Every prompt says one thing more."""
    load = prompts.load

    def changed(name: str) -> prompts.PromptTemplate:
        path, file = tmp_path / f"{name}.yaml", file_named(name, "prompts", LIBRARY)
        assert file is not None
        path.write_bytes(file.read_bytes() + b"# more\n")
        return load(str(path))

    monkeypatch.setattr(prompts, "load", changed)
    methods_prompts._digest.cache_clear()
    yield
    methods_prompts._digest.cache_clear()


def test_rerankers_over_the_hybrid_come_after_all_else_and_the_named_subsets_last() -> None:
    order = [
        "subset"
        if cell.declared.late
        else "hybrid"
        if cell.method.stage == "rerank" and "hybrid" in cell.firsts
        else ""
        for cell in cells()
    ]
    assert order == sorted(order)
    assert set(order) == {"", "hybrid", "subset"}


def test_a_study_says_what_is_reranked_and_how_much_of_it_is_read() -> None:
    reranked = [cell for cell in cells(LARGE) if cell.method.stage == "rerank"]
    assert {cell.firsts for cell in reranked} == {("hybrid",)}
    assert {cell.method.name for cell in cells(LARGE)} == {"plain", *LARGE.methods}
    shown = {cell.method.params_on(cell.declared.name, LARGE).get("max_words") for cell in reranked}
    assert shown == {LARGE.words}
    assert "depth 10" in reranked[0].method.settings(reranked[0].declared.name, "hybrid", LARGE)


def test_settings_change_with_the_words_of_a_prompt(request: pytest.FixtureRequest) -> None:
    reading = ["listwise, RankGPT", "listwise, LRL", "HyDE", "GenQREnsemble-RF, critic", "backtrace, single"]
    deaf = ["RM3", "attention", "dense alone", "plain"]
    before = {name: method(name).settings("scifact", "bm25") for name in reading + deaf}
    request.getfixturevalue("mended")
    after = {name: method(name).settings("scifact", "bm25") for name in before}
    assert [name for name in before if before[name] != after[name]] == reading


def test_the_prompts_that_are_named_are_those_that_a_component_reads() -> None:
    for params in ({"template": "lrl"}, {}):
        read = RERANKERS.get("listwise")(llm=ScriptedLLM(), **params).judge._prompt
        named = {read.source: read.sha256[:8]}
        assert prompts_of("rerank.listwise", params) == named
        assert prompts_of("rerank.self_consistency", {"params": params}) == named
    assert set(prompts_of("rerank.self_consistency", {"of": "pairwise"})) == {"rank_pairwise"}
    assert set(prompts_of("reformulate.genqr_ensemble_rf", {"source": "critic"})) == {
        "genqr_feedback",
        "feedback_critic",
    }


@pytest.mark.parametrize("each", METHODS, ids=lambda each: f"{each.name} {each.kinds[0]}")
def test_every_method_that_asks_a_model_names_a_prompt(each: Method) -> None:
    kind: Any = TABLES[each.stage].get(each.use.partition(".")[2]) if each.stage in TABLES else None
    asks = (
        kind is not None
        and "llm" in inspect.signature(kind).parameters
        and each.name not in ("attention", "in-context (ICR)")
    )
    assert bool(prompts_of(each.use, each.params)) == asks


@pytest.mark.parametrize("each", METHODS, ids=lambda each: f"{each.name} {each.kinds[0]}")
def test_every_parameter_of_a_method_is_one_of_its_component(each: Method) -> None:
    if each.stage in TABLES:
        kind: Any = TABLES[each.stage].get(each.use.partition(".")[2])
        known = {param.name for param in signature(kind, None).params}
        for name in SETS:
            assert set(each.params_on(name)) <= known


def test_how_a_corpus_was_rewritten_is_told_where_it_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = method("plain")
    before = [plain.settings("cosqa-300", first) for first in ("bm25", "bm25-rewritten")]
    monkeypatch.setitem(methods_list.REWRITING, "n", 2)
    after = [plain.settings("cosqa-300", first) for first in ("bm25", "bm25-rewritten")]
    assert (before[0], before[1]) == (after[0], after[1].replace('"n": 2', '"n": 1'))
    assert before[1] != after[1]


def test_questions_about_the_news_are_backtraced_over_whole_articles() -> None:
    found = [cell for cell in cells() if cell.declared == SETS["backtracing-news"]]
    traced = [cell.method for cell in found if cell.method.use == "retrieve.backtrace"]
    assert [m.params_on("backtracing-news")["form"] for m in traced] == [
        "single",
        "autoregressive",
        "causal",
        "causal_full",
    ]
    assert {m.params_on("backtracing-news").get("window") for m in traced} == {None}
    assert {m.params_on("backtracing-lecture-300").get("window") for m in traced[1:]} == {20}
    assert SETS["backtracing-news"].measures == ("Success@1", "Success@3")


@pytest.mark.parametrize("declared", SETS.values(), ids=list(SETS))
def test_every_set_has_a_committed_list_of_twenty(declared: Any) -> None:
    sample = json.loads((SAMPLES / f"{declared.sample or declared.name}.json").read_text())
    assert len(set(sample["qids"][:20])) == 20
