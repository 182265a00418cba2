"""How a graph shows itself in a notebook: as a drawing, bounded and escaped."""

from __future__ import annotations

from base64 import b64encode
from html import escape

from rag.core.errors import SpecError
from rag.graph.draw import short, svg
from rag.graph.spec import GraphSpec

_MOST_DRAWN = 60
"""Nodes of a graph that is drawn; a larger one shows its line alone."""


def graph_html(graph: GraphSpec) -> str:
    """A graph as a picture. It stands apart from the page, so that its style reaches nothing else there."""
    said = escape(short(graph.description or repr(graph), 240))
    if len(graph.nodes) + sum(len(body.nodes) for body in graph.graphs.values()) > _MOST_DRAWN:
        return f"<p>{said}</p>"
    try:
        drawn = b64encode(svg(graph).encode()).decode()
    except SpecError:  # nodes in a circle; `rag check` says more
        return f"<p>{said}</p>"
    return f'<p>{said}</p><img alt="{said}" style="max-width:100%" src="data:image/svg+xml;base64,{drawn}">'
