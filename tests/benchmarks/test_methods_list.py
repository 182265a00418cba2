"""What is run, in which order, and what makes a line of results stale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import prompts
from benchmarks import methods_list
from benchmarks.make_samples import SAMPLES
from benchmarks.methods_list import METHODS, Method, cells
from benchmarks.methods_sets import SETS
from benchmarks.methods_study import GENQR, LARGE, RECO, SMALL
from benchmarks.work_lines import Setup, kind_of
from prompts.template import LIBRARY
from rag.core.plugins import file_named
from rag.graph.signature import signature


def method(name: str) -> Method:
    found, *_ = (m for m in METHODS if m.name == name)
    return found


def setup(each: Method, name: str, first: str = "bm25") -> Setup:
    """Without what is made in a work folder."""
    stands = {"{heads}": str(methods_list.heads_without(SETS[name])), "{qrels}": __file__, "{classifier}": "."}
    asks = each.stage != "identity"
    component = each.component(name, filled=lambda value: stands.get(str(value), value)) if asks else None
    return each.setup(name, first, SMALL, component)


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every prompt says one thing more."""
    load = prompts.load

    def changed(name: str) -> prompts.PromptTemplate:
        path, file = tmp_path / f"{name}.yaml", file_named(name, "prompts", LIBRARY)
        assert file is not None
        path.write_bytes(file.read_bytes() + b"# more\n")
        return load(str(path))

    monkeypatch.setattr(prompts, "load", changed)


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


def test_the_setup_changes_with_the_words_of_a_prompt(request: pytest.FixtureRequest) -> None:
    reading = ["listwise, RankGPT", "listwise, LRL", "HyDE", "GenQREnsemble-RF, critic", "backtrace, single"]
    deaf = ["RM3", "attention", "dense alone", "plain"]
    before = {name: setup(method(name), "scifact") for name in reading + deaf}
    request.getfixturevalue("mended")
    after = {name: setup(method(name), "scifact") for name in before}
    assert [name for name in before if before[name].prompts != after[name].prompts] == reading
    assert all(before[name].component == after[name].component for name in before)


def test_the_setup_changes_with_the_heads() -> None:
    attention = method("attention")
    heads = [setup(attention, name).component for name in ("scifact", "cranfield")]
    assert heads[0] != heads[1]


@pytest.mark.parametrize("each", METHODS, ids=lambda each: f"{each.name} {each.kinds[0]}")
def test_every_method_that_asks_a_model_reads_a_prompt(each: Method) -> None:
    takes = (
        set() if each.stage == "identity" else {param.resource for param in signature(kind_of(each.use), None).params}
    )
    asks = bool(takes & {"llm", "rerank"}) and each.name not in ("attention", "in-context (ICR)")
    nothing = setup(method("plain"), "scifact").prompts
    assert (setup(each, "scifact").prompts != nothing) == asks


@pytest.mark.parametrize("each", METHODS, ids=lambda each: f"{each.name} {each.kinds[0]}")
def test_every_parameter_of_a_method_is_one_of_its_component(each: Method) -> None:
    if each.stage != "identity":
        known = {param.name for param in signature(kind_of(each.use), None).params}
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


def test_genqr_is_asked_as_its_paper_has_it() -> None:
    found = [cell for cell in cells(GENQR) if cell.method.stage == "reformulate"]
    assert {cell.method.use for cell in found} == {"reformulate.genqr_ensemble", "reformulate.genqr_fusion"}
    assert {cell.method.params_on(cell.declared.name, GENQR)["n"] for cell in found} == {10}
    assert {cell.firsts for cell in found} == {("bm25",)}
    settings = found[0].method.settings("scifact", "bm25", GENQR)
    assert "lists of 1000" in settings
    assert '"n": 4' in found[0].method.settings("scifact", "bm25", SMALL)


def test_reco_is_run_over_words_and_vectors() -> None:
    cell = next(cell for cell in cells(RECO) if cell.method.name == "example code")
    assert cell.firsts == ("bm25", "bm25-rewritten", "dense", "dense-rewritten")
    assert cell.declared.baseline("dense-rewritten") == "dense"
    assert all("dense" not in first for cell in cells(SMALL) for first in cell.firsts)
