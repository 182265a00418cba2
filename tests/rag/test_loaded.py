"""Every model that a graph may load is known before it loads: of nodes, of inner graphs, of the index's legs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.cli import main
from rag.core.errors import MissingModel
from rag.pipeline import load_pipeline
from rag.pipeline.loaded import models_of_graph

GRAPH = """
version: 1
index: {dense: {encoder: nobody/encoder}, promptreps: {model: nobody/chat, revision: v2}}
models:
  small: {use: llm.scripted}
  big: {use: llm.transformers, with: {model: nobody/writer, revision: v1}}
nodes:
  dense: {use: retrieve.dense, k: 5}
  prompted: {use: retrieve.promptreps, k: 5}
  fused: {use: fuse.rrf, in: [dense, prompted], k: 5}
  first: {use: rerank.cross_encoder, in: fused, k: 5, with: {model: nobody/classifier}}
  ranked:
    use: rerank.self_consistency
    in: first
    k: 5
    with: {llm: small, of: {use: rerank.setwise, with: {llm: big, scoring: generation}}}
output: ranked
"""
ALL = [
    ("nobody/writer", "v1"),
    ("nobody/classifier", None),
    ("nobody/encoder", None),
    ("nobody/chat", "v2"),
]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH)
    return path


def test_every_model_of_a_graph_is_listed(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Without an index its retrievers are not made; what an index would be built with counts for them.
    assert models_of_graph(str(graph)) == ALL
    assert main(["models", "list", "--graph", str(graph)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[name, "absent"] for name, _ in ALL]


def test_offline_names_a_classifier_that_is_not_here(tmp_path: Path) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(
        """
version: 1
models: {small: {use: llm.scripted}}
nodes:
  answer: {use: generate.closed_book, with: {llm: small}}
output: answer
"""
    )
    load_pipeline(str(path), offline=True)
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.md").write_text("leave is paid")
    assert main(["index", str(texts), "--index", str(tmp_path / "idx"), "--graph", "bm25"]) == 0
    path.write_text(
        """
version: 1
nodes:
  found: {use: retrieve.bm25, k: 5}
  ranked: {use: rerank.cross_encoder, in: found, k: 5, with: {model: nobody/classifier, revision: v3}}
output: ranked
"""
    )
    with pytest.raises(
        MissingModel, match=r"offline: nobody/classifier\. .*rag models pull nobody/classifier --revision v3"
    ):
        load_pipeline(str(path), index=tmp_path / "idx", offline=True)


def test_pull_wants_a_name_or_a_graph(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull"]) == 2
    assert "name a model, or a graph with --graph" in capsys.readouterr().err
