"""Several settings as one plan: what is shared is counted by hand, and what comes out is what each gives alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag import Pipeline, Query, Ranking
from rag.evaluate import cached_index, load_beir
from rag.graph.build import build
from rag.graphs import Graph, Merged, Sharing, Spec, load_spec
from rag.indexes import Index
from rag.pipeline.identity import node_identities
from ragline_lab.sweep.axes import parse_axes
from ragline_lab.sweep.settings import settings_of
from rerankers import RERANKERS
from tests.small_legs import SmallModels


class FailsOn:
    """Gives back what it was given, but for one query, on which it fails.

    Args:
        qid: the query.
    """

    def __init__(self, *, qid: str = "") -> None:
        self.qid = qid
        self.batches: list[int] = []

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        self.batches.append(len(rankings))
        if any(ranking.qid == self.qid for ranking in rankings):
            raise RuntimeError("cannot rank this")
        return [replace(ranking, hits=ranking.hits[:k]) for ranking in rankings]


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    RERANKERS.add("test_fails_on", FailsOn)
    yield
    del RERANKERS._table["test_fails_on"]


@pytest.fixture
def queries(made_up: Path) -> tuple[Query, ...]:
    return load_beir(made_up).queries[:16]


def graphs_of(graph: dict[str, Any], over: Sequence[str], index: Index | None) -> list[Graph]:
    return [build(setting.spec, index=index) for setting in settings_of(load_spec(graph), parse_axes(over))]


def index_for(made_up: Path, graph: dict[str, Any]) -> Index:
    spec = load_spec(graph)
    return cached_index(load_beir(made_up), spec.graph, spec.graph.index)


def merged_of(graphs: Sequence[Graph], target: str) -> Merged:
    return Merged(graphs, [target] * len(graphs))


def test_the_nodes_of_a_fusion_are_shared_below_its_weights(made_up: Path, lexical_graph: dict[str, Any]) -> None:
    with index_for(made_up, lexical_graph) as index:
        over = ["fused.weights.bm25=0.1:0.4:0.1", "wider.documents=3,5"]
        graphs = graphs_of(lexical_graph, over, index)
        merged = merged_of(graphs, "fused")
    # As it was and 4 x 2 settings, of 4 nodes each. bm25 is one for all; feedback from 3 and from 5 documents gives two of
    # wider and two of again; no fusion is like another: 1 + 2 + 2 + 9.
    assert merged.sharing(range(9)) == Sharing(settings=9, nodes=36, distinct=14)
    assert merged.sharing(range(9)).spared == 22
    assert merged.sharing([0]) == Sharing(settings=1, nodes=4, distinct=4)
    assert merged.sharing([1, 2]) == Sharing(settings=2, nodes=8, distinct=7)  # they differ in documents


def test_a_change_early_in_a_graph_shares_nothing_behind_it(made_up: Path, lexical_graph: dict[str, Any]) -> None:
    with index_for(made_up, lexical_graph) as index:
        merged = merged_of(graphs_of(lexical_graph, ["bm25.k=5,10"], index), "fused")
    assert merged.sharing(range(3)) == Sharing(settings=3, nodes=12, distinct=12)


def test_equal_parts_under_two_names_are_not_one(made_up: Path) -> None:
    """A fuser reads the names of its lists, so a list under another name is another list."""
    graph = {
        "version": 1,
        "nodes": {
            "one": {"use": "retrieve.bm25", "k": 5},
            "two": {"use": "retrieve.bm25", "k": 5},
            "both": {"use": "fuse.rrf", "in": ["one", "two"], "k": 5},
        },
        "output": "both",
    }
    with index_for(made_up, graph) as index:
        identities = node_identities(build(load_spec(graph), index=index))
    assert len(set(identities.values())) == 3


def dense(models: SmallModels) -> dict[str, Any]:
    return {"dense": {"encoder": str(models.sentences), "compute": "float32"}}


def hybrid(models: SmallModels) -> tuple[dict[str, Any], list[str]]:
    graph = {
        "version": 1,
        "index": dense(models),
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 30},
            "dense": {"use": "retrieve.dense", "k": 30},
            "fused": {
                "use": "fuse.weighted",
                "in": ["bm25", "dense"],
                "k": 20,
                "with": {"weights": {"bm25": 0.3, "dense": 0.7}},
            },
            "varied": {"use": "rerank.mmr", "in": "fused", "k": 10},
        },
        "output": "varied",
    }
    return graph, ["fused.weights.bm25=0.1,0.3,2", "fused.norm=z_score,rank", "varied.balance=0.5,0.9"]


def judged(models: SmallModels) -> tuple[dict[str, Any], list[str]]:
    graph = {
        "version": 1,
        "models": {"small": {"use": "llm.scripted", "with": {"replies": ["x"]}}},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 8},
            "ranked": {"use": "rerank.yes_no", "in": "bm25", "k": 8, "with": {"llm": "small", "depth": 4}},
            "graded": {"use": "rerank.graded", "in": "ranked", "k": 5, "with": {"llm": "small"}},
        },
        "output": "graded",
    }
    return graph, ["ranked.depth=4,6", "graded.scale=rg-2l,rg-4l", "graded.score=expected,peak"]


def inner(models: SmallModels) -> tuple[dict[str, Any], list[str]]:
    graph = {
        "version": 1,
        "models": {"small": {"use": "llm.scripted", "with": {"replies": ["balam coner dipod [1]"]}}},
        "graphs": {
            "search": {
                "nodes": {
                    "words": {"use": "retrieve.bm25", "k": 9},
                    "kept": {"use": "rerank.identity", "in": "words", "k": 4},
                },
                "output": "kept",
            }
        },
        "nodes": {"answer": {"use": "generate.stride", "with": {"llm": "small", "inner": "search"}}},
        "output": "answer",
    }
    return graph, ["search/words.k=1,4", "answer.passages=1,3"]


def variants(models: SmallModels) -> tuple[dict[str, Any], list[str]]:
    graph = {
        "version": 1,
        "models": {"small": {"use": "llm.scripted", "with": {"replies": ["balam coner\ndipod furik"]}}},
        "nodes": {
            "asked": {"use": "reformulate.multi_query", "with": {"llm": "small", "n": 2}},
            "bm25": {"use": "retrieve.bm25", "in": "asked", "k": 10},
            "failing": {"use": "rerank.test_fails_on", "in": "bm25", "k": 10, "with": {"qid": "none"}},
            "fused": {"use": "fuse.rrf", "in": "failing", "k": 10},
        },
        "output": "fused",
    }
    return graph, ["failing.qid=q03,q05", "fused.rank_constant=0,60"]


def said(records: Any) -> str:
    """All that records say, floats to the last bit, without seconds, which never come out the same."""
    return re.sub(r"seconds=[\d.e+-]+", "", repr(records))


@pytest.mark.parametrize(
    ("made", "spared"),
    [
        (hybrid, 13 * 4 - (1 + 1 + 7 + 13)),
        (judged, 9 * 3 - (1 + 2 + 8)),  # a depth of 4, and the graph as it was, are there twice
        (inner, 0),  # one node, and no two alike
        (variants, 5 * 4 - (1 + 1 + 3 + 5)),
    ],
)
def test_every_setting_gives_to_the_bit_what_it_gives_alone(
    made: Any, spared: int, made_up: Path, small_models: SmallModels, queries: tuple[Query, ...]
) -> None:
    graph, over = made(small_models)
    with index_for(made_up, graph) as index:
        graphs = graphs_of(graph, over, index)
        merged = merged_of(graphs, graph["output"])
        assert merged.sharing(range(len(graphs))).spared == spared
        together = merged.run(queries, range(len(graphs)))
        distinct = set()
        for setting, each in enumerate(graphs_of(graph, over, index)):  # made anew: nothing is shared with those above
            with Pipeline(each, index=index) as pipeline:
                alone = pipeline.run(queries)
            result = together[setting]
            assert said(result.outputs) == said(alone.outputs)
            assert said(result.failures) == said(alone.failures)
            assert said({n: list(r) for n, r in sorted(result.records.items())}) == said(
                {n: list(r) for n, r in sorted(alone.records.items())}
            )
            assert said(sorted(result.nodes, key=lambda node: node.name)) == said(
                sorted(alone.nodes, key=lambda node: node.name)
            )
            distinct.add(said(alone.outputs))
    assert len(distinct) > 2, "the settings of this test are all alike, so it shows nothing"


def test_a_query_that_fails_in_one_setting_goes_on_in_the_others(made_up: Path, queries: tuple[Query, ...]) -> None:
    graph = {
        "version": 1,
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 5},
            "failing": {"use": "rerank.test_fails_on", "in": "bm25", "k": 5},
        },
        "output": "failing",
    }
    with index_for(made_up, graph) as index:
        graphs = graphs_of(graph, ["failing.qid=q03"], index)
        results = merged_of(graphs, "failing").run(queries, [0, 1])
    assert results[0].failures == ()
    assert [failure.qid for failure in results[1].failures] == ["q03"]
    outcomes = {query.qid: output.outcome.kind for query, output in zip(queries, results[1].outputs, strict=True)}
    assert [qid for qid, kind in outcomes.items() if kind == "failed"] == ["q03"]
    assert results[0].outputs[3].hits


def test_a_query_that_fails_on_one_branch_is_no_hit_of_the_other(made_up: Path, queries: tuple[Query, ...]) -> None:
    graph = {
        "version": 1,
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 5},
            "failing": {"use": "rerank.test_fails_on", "in": "bm25", "k": 5},
            "fused": {"use": "fuse.rrf", "in": ["failing", "bm25"], "k": 5},
        },
        "output": "fused",
    }
    with index_for(made_up, graph) as index:
        merged = merged_of(graphs_of(graph, ["failing.qid=q03"], index), "fused")
        result = merged.run(queries, [0, 1])[1]
        [_, alone] = graphs_of(graph, ["failing.qid=q03"], index)
        with Pipeline(alone, index=index) as pipeline:
            assert said(result.outputs) == said(pipeline.run(queries).outputs)
    assert result.outputs[3].outcome.kind == "failed"
    assert "q03" not in {ranking.qid for ranking in result.records["fused"]}


def test_a_shared_node_is_run_once_and_only_for_the_settings_that_are_asked(
    made_up: Path, queries: tuple[Query, ...]
) -> None:
    graph = {
        "version": 1,
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 5},
            "first": {"use": "rerank.test_fails_on", "in": "bm25", "k": 5},
            "second": {"use": "rerank.test_fails_on", "in": "first", "k": 5},
        },
        "output": "second",
    }
    with index_for(made_up, graph) as index:
        graphs = graphs_of(graph, ["second.qid=a,b,c"], index)
        merged_of(graphs, "second").run(queries, [1, 3])
    assert [each.parts["first"].batches for each in graphs] == [[16], [], [], []]
    assert [each.parts["second"].batches for each in graphs] == [[], [16], [], [16]]


def test_another_inner_graph_is_another_node(made_up: Path, small_models: SmallModels) -> None:
    graph, _ = inner(small_models)
    with index_for(made_up, graph) as index:

        def identity(k: int) -> str:
            changed = load_spec(graph)
            nodes = dict(changed.graph.graphs["search"].nodes)
            nodes["kept"] = nodes["kept"].model_copy(update={"k": k})
            body = changed.graph.graphs["search"].model_copy(update={"nodes": nodes})
            spec = Spec(graph=changed.graph.model_copy(update={"graphs": {"search": body}}), source=changed.source)
            return node_identities(build(spec, index=index))["answer"]

        assert identity(4) == identity(4)
        assert identity(4) != identity(5)
