"""A graph as a drawing of letters, for a terminal: a line for each node, what it is fed by on the left."""

from __future__ import annotations

from rag.core.words import printed_line
from rag.graph.draw import inner_graphs, order_of, short
from rag.graph.spec import Body, GraphSpec

_MOST_CHARS = 32
"""Of what a node is fed by, and of its name."""


def in_text(graph: GraphSpec) -> str:
    """The drawing; inner graphs stand below, each under its title.

    Raises:
        SpecError: the nodes form a circle.
    """
    blocks = [_lines(graph)]
    for title, body in inner_graphs(graph):
        blocks.append([f"{printed_line(short(title, 2 * _MOST_CHARS))}:", *(f"  {line}" for line in _lines(body))])
    return "\n\n".join("\n".join(block) for block in blocks)


def _lines(graph: Body | GraphSpec) -> list[str]:
    rows = [
        (_fed_by(graph, name), printed_line(short(name, _MOST_CHARS)), _what(graph, name)) for name in order_of(graph)
    ]
    left, middle = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"{fed} {'─' * (left - len(fed))}─▶ {name:<{middle}}  {what}" for fed, name, what in rows]


def _fed_by(graph: Body | GraphSpec, name: str) -> str:
    return printed_line(short(", ".join(graph.nodes[name].inputs), _MOST_CHARS))


def _what(graph: Body | GraphSpec, name: str) -> str:
    node = graph.nodes[name]
    k = f", k = {node.k}" if node.k else ""
    return f"{node.use}{k}{'  (output)' if name == graph.output else ''}"
