"""Reformulators wired as their pages say, over a real index."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import SpecError
from rag.core.types import Message, Query
from rag.core.yaml_source import parse_yaml
from rag.graph.build import build
from rag.graph.check import check
from rag.graph.load import load_spec
from rag.pipeline import Pipeline
from rag.stages import REFORMULATORS
from retrievers.index.directory import LocalIndex


def pipeline(index: LocalIndex, nodes: dict[str, Any], *, output: str, replies: tuple[str, ...] = ("x",)) -> Pipeline:
    models = {"small": {"use": "llm.scripted", "with": {"replies": list(replies)}}}
    spec = load_spec({"version": 1, "models": models, "nodes": nodes, "output": output})
    return Pipeline(build(spec, index=index), index=index)


BM25 = {"use": "retrieve.bm25", "k": 12}


def test_feedback_comes_from_a_first_retrieval(lexical_index: LocalIndex, queries: tuple[Query, ...]) -> None:
    nodes = {
        "first": BM25,
        "widened": {"use": "reformulate.rm3", "in": ["query", "first"], "with": {"max_df": 1.0}},
        "again": {**BM25, "in": "widened"},
    }
    result = pipeline(lexical_index, nodes, output="again").run(queries)
    assert result.failures == ()
    for first, again in zip(result.records["first"], result.rankings, strict=True):
        assert set(first.doc_ids) <= set(again.doc_ids)
    assert sum(len(r.hits) for r in result.rankings) > sum(len(r.hits) for r in result.records["first"])


def test_query_sets_are_retrieved_and_fused(lexical_index: LocalIndex, queries: tuple[Query, ...]) -> None:
    sets = {"use": "reformulate.genqr_fusion", "with": {"llm": "small", "n": 2}}
    nodes = {"sets": sets, "found": {**BM25, "in": "sets"}, "fused": {"use": "fuse.rrf", "in": "found", "k": 5}}
    result = pipeline(lexical_index, nodes, output="fused", replies=("goggles", "wrench")).run(queries)
    assert all("d05" in ranking.doc_ids for ranking in result.rankings)
    del nodes["fused"]
    with pytest.raises(SpecError, match=r"several records per question. Put a fuse.\* node"):
        pipeline(lexical_index, nodes, output="found")


def test_every_tool_of_a_request_has_its_turn(lexical_index: LocalIndex) -> None:
    nodes = {
        "needs": {"use": "reformulate.tool_query", "with": {"llm": "small"}},
        "found": {**BM25, "in": "needs"},
        "tools": {"use": "fuse.interleave", "in": "found", "k": 3},
    }
    replies = ("train journeys\nrefunded meals",)
    result = pipeline(lexical_index, nodes, output="tools", replies=replies).run(["paid leave and a lost laptop"])
    firsts = [found.doc_ids[0] for found in result.records["found"]]
    assert firsts[1:] == ["d04", "d03"]
    assert list(result.rankings[0].doc_ids) == firsts


def test_a_follow_up_finds_what_its_rewrite_names(lexical_index: LocalIndex) -> None:
    nodes = {
        "turn": {"use": "reformulate.conversation", "with": {"llm": "small"}},
        "found": {**BM25, "in": "turn"},
        "fused": {"use": "fuse.rrf", "in": "found", "k": 3},
    }
    talk = pipeline(lexical_index, nodes, output="fused", replies=("What is the warranty of forks?",))
    history = (Message(role="user", content="What is the warranty of frames?"),)
    assert talk.search(Query(qid="q", text="and of these?", history=history)).doc_ids[0] == "d09"


def test_dense_and_lexical_legs_each_read_their_form(dense_index: LocalIndex, lexical_index: LocalIndex) -> None:
    nodes = {
        "passages": {"use": "reformulate.query2doc", "with": {"llm": "small"}},
        "found": {**BM25, "in": "passages"},
    }
    ranking = pipeline(lexical_index, nodes, output="found", replies=("torque wrench",)).search("lost laptop")
    assert ranking.doc_ids[0] == "d10"  # the query weighs five times
    assert "d05" in ranking.doc_ids
    nodes["found"] = {"use": "retrieve.dense", "in": "passages", "k": 12}
    assert len(pipeline(dense_index, nodes, output="found").search("lost laptop").hits) == 12


def test_the_graphs_of_the_page_are_good() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "plugins" / "reformulation.md").read_text(encoding="utf-8")
    graphs = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(graphs) == 2
    for text in graphs:
        assert check(load_spec(parse_yaml(text, name="reformulation.md").data)).problems == []
    assert all(f"`{name}`" in page for name in REFORMULATORS)
