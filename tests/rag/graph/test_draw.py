from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from rag.core.errors import SpecError
from rag.graph.draw import draw, html, in_text, mermaid, svg
from rag.graph.load import builtin_names, load_spec


@pytest.mark.parametrize("name", builtin_names())
def test_every_built_in_graph_becomes_well_formed_svg_with_all_nodes(name: str) -> None:
    graph = load_spec(name).graph
    root = ET.fromstring(svg(graph))
    texts = {e.text for e in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(graph.nodes) <= texts
    edges = list(root.iter("{http://www.w3.org/2000/svg}path"))
    nodes = [node for body in (graph, *graph.graphs.values()) for node in body.nodes.values()]
    threads = len(graph.graphs)  # from who is given an inner graph to its frame
    assert len(edges) == 1 + sum(len(node.inputs) for node in nodes) + threads


@pytest.mark.parametrize("name", builtin_names())
def test_a_terminal_gets_a_line_for_every_node_behind_what_feeds_it(name: str) -> None:
    graph = load_spec(name).graph
    lines = [line for line in in_text(graph).splitlines() if "▶" in line]
    nodes = [node for body in (graph, *graph.graphs.values()) for node in body.nodes.values()]
    assert len(lines) >= len(nodes)
    seen = {"query"}
    for line in lines[: len(graph.nodes)]:
        fed, _, rest = line.partition(" ─")
        assert set(fed.split(", ")) <= seen
        seen.add(rest.partition("▶")[2].split()[0])
    assert seen == {"query", *graph.nodes}
    assert {len(line.partition("▶")[0]) for line in lines[: len(graph.nodes)]} == {lines[0].index("▶")}


def test_a_drawing_for_a_terminal_is_bounded_and_holds_no_line_of_a_name() -> None:
    name = "a\nquery ─▶ \x1b[2J" + "x" * 10_000
    nodes = {name: {"use": "retrieve.bm25", "k": 1}, "b": {"use": "rerank.identity", "in": name, "k": 1}}
    drawn = in_text(load_spec({"version": 1, "nodes": nodes, "output": "b"}).graph)
    assert len(drawn.splitlines()) == 2
    assert len(drawn) < 400
    assert "\x1b" not in drawn


def test_mermaid_names_every_edge() -> None:
    text = mermaid(load_spec("hybrid").graph)
    assert text.startswith("flowchart LR")
    assert text.count("-->") == 4


def test_hostile_names_stay_text() -> None:
    graph = load_spec(
        {
            "version": 1,
            "description": "<script>alert(1)</script>",
            "nodes": {'<img src=x onerror="1">': {"use": "retrieve.bm25", "k": 1}},
            "output": '<img src=x onerror="1">',
        }
    ).graph
    for text in (svg(graph), html(graph)):
        assert "<script" not in text
        assert "<img" not in text
    assert '"<img' not in mermaid(graph)


def test_the_suffix_decides_and_others_are_refused(tmp_path: Path) -> None:
    graph = load_spec("ask").graph
    for suffix in (".svg", ".mmd", ".html"):
        draw(graph, tmp_path / f"g{suffix}")
        assert (tmp_path / f"g{suffix}").stat().st_size > 200
    with pytest.raises(SpecError, match=r"must end in \.html, \.mmd, \.svg"):
        draw(graph, tmp_path / "g.png")


def test_a_circle_cannot_be_drawn() -> None:
    nodes = {
        "a": {"use": "rerank.identity", "in": "b", "k": 1},
        "b": {"use": "rerank.identity", "in": "a", "k": 1},
    }
    with pytest.raises(SpecError, match="circle"):
        svg(load_spec({"version": 1, "nodes": nodes, "output": "a"}).graph)
