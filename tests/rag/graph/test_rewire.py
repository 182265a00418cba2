from __future__ import annotations

from rag.graph.load import load_spec
from rag.graph.rewire import with_run


def test_a_run_takes_the_place_of_retrieval_and_fusion() -> None:
    graph = with_run(load_spec("hybrid-icr").graph, "first.trec")
    assert {name: node.use for name, node in graph.nodes.items()} == {
        "fused": "retrieve.run",
        "ranked": "rerank.icr",
    }
    assert graph.nodes["fused"].k == 100
    assert graph.nodes["fused"].params == {"run": "first.trec"}


def test_a_graph_without_reranker_becomes_the_run() -> None:
    graph = with_run(load_spec("hybrid").graph, "first.trec")
    assert {name: node.use for name, node in graph.nodes.items()} == {"fused": "retrieve.run"}


def test_two_rerankers_of_two_legs_each_get_the_run() -> None:
    nodes = {
        "a": {"use": "retrieve.bm25", "k": 10},
        "b": {"use": "retrieve.dense", "k": 20},
        "ra": {"use": "rerank.identity", "in": "a", "k": 5},
        "rb": {"use": "rerank.identity", "in": "b", "k": 5},
        "both": {"use": "fuse.rrf", "in": ["ra", "rb"], "k": 5},
    }
    graph = with_run(load_spec({"version": 1, "nodes": nodes, "output": "both"}).graph, "r")
    assert [graph.nodes[n].use for n in ("a", "b", "both")] == ["retrieve.run", "retrieve.run", "fuse.rrf"]
