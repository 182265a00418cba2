"""GNN-Coder: trees by hand, a round by hand, and a network that learns what stands in trees alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.train.benchmarks.code_graphs import tree_weighted
from rag.errors import SpecError
from rag.indexes import SentenceEncoder
from ragline_train.code_graphs.encoder import ROOM, CodeGraphEncoder, node_vectors, write_folder
from ragline_train.code_graphs.network import (
    Code,
    CodeNetwork,
    CodeSettings,
    Convolution,
    batched,
    read,
    teach_code,
    thinned,
)
from ragline_train.code_graphs.trees import KINDS, MOST_NODES, CodeGraph, graph_of
from tests.retrievers.tiny_encoders import tiny_bert

CODE = """
def total(items, *, tax=0):
    for item in items:
        if item.paid:
            add(item, rate(tax))
    return 1
"""


def test_a_tree_keeps_statements_and_calls() -> None:
    graph = graph_of(CODE)
    assert graph is not None
    kinds = [KINDS[number] for number in graph.kinds]
    assert kinds == ["Module", "FunctionDef", "arguments", "For", "Return", "If", "Expr", "Call", "Call"]
    assert graph.parents == (-1, 0, 1, 1, 1, 3, 5, 6, 7)
    assert graph.texts[2] == "items tax"
    assert graph.texts[3] == "for item in items: if item.paid: add(item, rate(tax))"
    assert graph.texts[7:] == ("add(item, rate(tax))", "rate(tax)")


@pytest.mark.parametrize(
    "code", ["def f(:", "fn main() { let x = 1; }", "", "\0", "print 'a'", "(" * 5_000 + ")" * 5_000, "# words alone"]
)
def test_what_cannot_be_parsed_has_no_tree(code: str) -> None:
    assert graph_of(code) is None


def test_a_tree_is_bounded_and_letters_of_any_width_are_cut_whole() -> None:
    long = graph_of("def f():\n" + "\n".join(f"    größe_{n} = messe('ü' * {n})" for n in range(500)))
    assert long is not None
    assert len(long.texts) == MOST_NODES
    assert all(len(text) <= 160 for text in long.texts)
    assert long.texts[3] == "größe_0 = messe('ü' * 0)"
    nested = graph_of("f(" * 90 + "1" + ")" * 90)
    assert nested is not None
    assert len(nested.texts) == MOST_NODES


def test_a_round_is_that_of_the_formula() -> None:
    torch.manual_seed(0)
    convolution = Convolution(3)
    x, first = torch.randn(1, 3, 3), torch.randn(1, 3, 3)
    below = torch.zeros(1, 3, 3)
    below[0, 0, 1] = below[0, 0, 2] = 1.0  # a root with two children: degrees 2, 1, 1
    found = convolution(x, first, below)[0]
    parent, child = convolution.of_parent.weight[0], convolution.of_child.weight[0]
    root = 0.1 * first[0, 0] + x[0, 0]
    for place in (1, 2):
        root = root + torch.tanh(parent @ x[0, 0] + child @ x[0, place]) / 2**0.5 * x[0, place]
        torch.testing.assert_close(found[place], 0.1 * first[0, place] + x[0, place])
    torch.testing.assert_close(found[0], root)


def test_the_root_and_those_with_children_survive_thinning() -> None:
    """The orientation of edges: a second implementation counts parents, so that the root goes first."""
    graph = graph_of(CODE)
    assert graph is not None
    graphs = batched([graph], {text: np.zeros(2, dtype=np.float32) for text in graph.texts})
    kept = thinned(graphs.nodes, graphs.below)[0]
    assert kept.tolist() == [1, 1, 0, 1, 0, 1, 1, 1, 0]  # six of nine: all that have a child


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    graphs = [graph_of(CODE), graph_of("x = f(1)")]
    nodes = {text: np.random.default_rng(0).normal(size=4).astype(np.float32) for each in graphs for text in each.texts}
    codes = [Code(graph, np.eye(6, dtype=np.float32)[place]) for place, graph in enumerate(graphs)]
    network = CodeNetwork(4, 6, width=8).eval()
    together = read(network, codes, nodes)
    alone = torch.cat([read(network, [code], nodes) for code in codes])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))


def test_weights_of_a_tree_that_nothing_is_learnt_for() -> None:
    graph = CodeGraph(texts=("a", "b", "c"), kinds=(0, 1, 2), parents=(-1, 0, 0))
    vectors = {name: np.array([float(place)], dtype=np.float32) for place, name in enumerate("abc", start=1)}
    assert tree_weighted(graph, vectors).tolist() == pytest.approx([(3 * 1 + 2 + 3) / 5])


SHAPES = (
    "for a in b:\n    f(a)",
    "while a:\n    f(a)",
    "if a:\n    f(a)",
    "with a:\n    f(a)",
    "return f(a)",
    "raise f(a)",
)


def lesson(n: int) -> tuple[np.ndarray, list[Code], dict[str, Any]]:
    """Questions that name the shape of code whose text says nothing: every node has the same vector."""
    chance = random.Random(0)
    shapes = [chance.randrange(len(SHAPES)) for _ in range(n)]
    graphs = [
        graph_of("def f(a):\n" + "\n".join(f"    {line}" for line in SHAPES[shape].split("\n"))) for shape in shapes
    ]
    nodes = {text: np.ones(4, dtype=np.float32) for graph in graphs for text in graph.texts}
    queries = np.eye(len(SHAPES), dtype=np.float32)[shapes]
    return queries, [Code(graph, np.full(6, 6**-0.5, dtype=np.float32)) for graph in graphs], nodes


def test_what_trees_alone_say_is_learnt_and_equal_seeds_learn_the_same() -> None:
    queries, codes, nodes = lesson(60)
    networks = []
    for graphs in (True, True, False):
        torch.manual_seed(1)
        network = CodeNetwork(4, 6, width=16)
        losses = teach_code(
            network, queries, codes, nodes, CodeSettings(epochs=60, batch=20, learning_rate=1e-2, graphs=graphs)
        )
        networks.append((network, losses))
    (one, told), (other, again), (_, without) = networks
    assert told == again
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert told[-1] < told[0] - 0.5
    assert told[-1] < without[-1] - 0.5
    found = read(one, codes, nodes).detach().numpy()
    right = np.argmax(np.eye(6, dtype=np.float32) @ found.T, axis=0) == queries.argmax(axis=1)
    assert right.mean() > 0.9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bert, nodes = str(tiny_bert(tmp_path / "bert")), tiny_bert(tmp_path / "nodes", seed=1)
    torch.manual_seed(0)
    write_folder(bert, nodes, CodeNetwork(32, 32, width=8), tmp_path / "code", width=8)
    return tmp_path / "code"


def test_a_folder_reads_code_by_its_tree_and_all_else_as_it_was(folder: Path, tmp_path: Path) -> None:
    whole, bert = SentenceEncoder(model=str(folder)), SentenceEncoder(model=str(tmp_path / "bert"))
    texts = ["the day of leave", CODE, "x = the(day)", ""]
    np.testing.assert_allclose(whole.encode(texts, role="query"), bert.encode(texts, role="query"), atol=1e-6)
    found = whole.encode(texts, role="document")
    plain = bert.encode(texts, role="document")
    np.testing.assert_allclose(found[[0, 3]], plain[[0, 3]], atol=1e-5)
    assert np.abs(found[1:3] - plain[1:3]).max() > 0.01
    torch.manual_seed(0)
    network, graph = CodeNetwork(32, 32, width=8).eval(), graph_of(CODE)
    nodes = node_vectors(SentenceEncoder(model=str(tmp_path / "nodes"), compute="float32"), [graph])
    expected = read(network, [Code(graph, plain[1])], nodes).detach().numpy()
    np.testing.assert_allclose(found[1:2], expected, atol=1e-5)
    described = json.loads(json.dumps(whole.describe()))
    assert described["kind"] == "code_graph"
    assert whole.encode([], role="document").shape == (0, 32)


@pytest.mark.parametrize(
    "said", [[], {"kind": "plain"}, {"kind": "code_graph", "width": 8}, {"kind": "plain", "width": 0}]
)
def test_what_says_something_else_is_refused(folder: Path, said: object) -> None:
    (folder / ROOM / "settings.json").write_text(json.dumps(said))
    with pytest.raises(SpecError, match=r"settings\.json.*and not"):
        CodeGraphEncoder.refuses(folder)


def test_pairs_that_teach_nothing_are_refused() -> None:
    queries, codes, nodes = lesson(1)
    with pytest.raises(SpecError, match="at least 2; there are 1"):
        teach_code(CodeNetwork(4, 6), queries, codes, nodes, CodeSettings())
    with pytest.raises(ValueError, match="batch must be at least 2"):
        CodeSettings(batch=1)
