"""A graph as a picture: Mermaid text, lines of a terminal, or an SVG that needs no other program and no network."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from rag.core.errors import SpecError
from rag.core.words import printed_line
from rag.graph.spec import QUERY, Body, GraphSpec, Node, Part
from rag.graph.uses import inner_uses
from rag.graph.wiring import topological

_COLOURS = {
    "query": "#5b6472",
    "reformulate": "#8a5cd1",
    "retrieve": "#2472c8",
    "fuse": "#0f8b8d",
    "rerank": "#c2571a",
    "assemble": "#6b7a1f",
    "generate": "#b3306b",
    "check": "#7a4b2a",
}
_W, _H, _GAP_X, _GAP_Y, _PAD = 168, 58, 44, 22, 20
_FRAME_TOP = 30
_MOST_CHARS = 32
"""In a terminal, of what a node is fed by, and of its name."""
_MOST_DRAWN = 60
"""Nodes of a graph that a notebook draws; a larger one shows its line alone."""


def draw(graph: GraphSpec, path: str | Path) -> None:
    """Write a picture; the suffix decides: .mmd (Mermaid), .svg, .html (the SVG in a page with the parameters).

    Raises:
        SpecError: another suffix, or the nodes form a circle.
    """
    target = Path(path)
    writers = {".mmd": mermaid, ".svg": svg, ".html": html}
    if target.suffix not in writers:
        raise SpecError(f"{target}: the name must end in {', '.join(sorted(writers))}")
    target.write_text(writers[target.suffix](graph), encoding="utf-8")


def in_text(graph: GraphSpec) -> str:
    """A line for each node, with what feeds it on the left; inner graphs stand below, each under its title.

    Raises:
        SpecError: the nodes form a circle.
    """
    blocks = [_lines(graph)]
    for title, body in inner_graphs(graph):
        blocks.append([f"{printed_line(short(title, 2 * _MOST_CHARS))}:", *(f"  {line}" for line in _lines(body))])
    return "\n\n".join("\n".join(block) for block in blocks)


def mermaid(graph: GraphSpec) -> str:
    """Mermaid flowchart text."""
    ids = {QUERY: "q", **{name: f"n{i}" for i, name in enumerate(graph.nodes)}}
    lines = ["flowchart LR", f'  q(["{QUERY}"])']
    for name, node in graph.nodes.items():
        k = f"<br/>k = {node.k}" if node.k else ""
        lines.append(f'  {ids[name]}["{_mermaid(name)}<br/>{_mermaid(node.use)}{k}"]')
    for name, node in graph.nodes.items():
        lines.extend(f"  {ids[source]} --> {ids[name]}" for source in node.inputs if source in ids)
    if graph.output in ids:
        lines.append(f"  style {ids[graph.output]} stroke-width:3px")
    for number, (title, inner) in enumerate(inner_graphs(graph)):
        names = {QUERY: f"g{number}q", **{name: f"g{number}n{i}" for i, name in enumerate(inner.nodes)}}
        lines.append(f'  subgraph g{number}["{_mermaid(title)}"]')
        lines.append(f'    {names[QUERY]}(["{QUERY}"])')
        lines += [f'    {names[name]}["{_mermaid(name)}<br/>{_mermaid(n.use)}"]' for name, n in inner.nodes.items()]
        lines += [
            f"    {names[s]} --> {names[name]}" for name, n in inner.nodes.items() for s in n.inputs if s in names
        ]
        lines.append("  end")
        lines += [f"  {ids[name]} -.-> g{number}" for name in graph.nodes if title in _titles(name, graph)]
    return "\n".join(lines) + "\n"


def inner_graphs(graph: GraphSpec) -> list[tuple[str, Body]]:
    """What nodes are given, each once: named inner graphs, and components written in place as graphs of one node."""
    inner: dict[str, Body] = {f"graph {name}": body for name, body in graph.graphs.items()}
    for name, node in graph.nodes.items():
        for parameter, use in inner_uses(node, graph.graphs):
            if isinstance(use, Part):
                lone = Node(use=use.use, params=use.params)
                inner[f"{name}: {parameter}"] = Body(nodes={parameter: lone}, output=parameter)
    return list(inner.items())


def _titles(name: str, graph: GraphSpec) -> set[str]:
    """Titles of the inner graphs that a node is given."""
    uses = inner_uses(graph.nodes[name], graph.graphs)
    return {f"graph {use}" if isinstance(use, str) else f"{name}: {parameter}" for parameter, use in uses}


def _mermaid(text: str) -> str:
    return "".join(c if c.isalnum() or c in " ._-" else f"#{ord(c)};" for c in text)


@dataclass(frozen=True, slots=True)
class _Box:
    name: str
    use: str
    note: str
    stage: str
    x: float
    y: float


def svg(graph: GraphSpec) -> str:
    """A self-contained SVG, left to right, light and dark; inner graphs stand framed below."""
    boxes = _layout(graph)
    frames = _frames(graph, top=max(b.y for b in boxes.values()) + _H)
    every = [*boxes.values(), *(box for frame in frames for box in frame.boxes.values())]
    width = max(b.x for b in every) + _W + (2 if frames else 1) * _PAD
    height = max(b.y for b in every) + _H + (2 if frames else 1) * _PAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" font-family="system-ui, sans-serif">',
        f"<title>{escape(graph.description or 'graph')}</title>",
        "<style>.bg{fill:#fff}.box{fill:#f6f7f9}.name{fill:#14181f}.use{fill:#4b5462}.edge{stroke:#8a93a0;fill:none}"
        "@media(prefers-color-scheme:dark){.bg{fill:#14181f}.box{fill:#1f2530}.name{fill:#f0f2f5}.use{fill:#b4bcc8}"
        ".edge{stroke:#77808d}}</style>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#8a93a0"/></marker></defs>',
        f'<rect class="bg" width="{width:g}" height="{height:g}"/>',
    ]
    for name, node in graph.nodes.items():
        parts.extend(_edge(boxes[source], boxes[name]) for source in node.inputs if source in boxes)
    parts.extend(_rect(box, box.name == graph.output) for box in boxes.values())
    for frame in frames:
        parts.append(_outline(frame))
        parts += [_thread(boxes[name], frame) for name in graph.nodes if frame.title in _titles(name, graph)]
        for name, node in frame.body.nodes.items():
            parts += [_edge(frame.boxes[source], frame.boxes[name]) for source in node.inputs if source in frame.boxes]
        parts += [_rect(box, box.name == frame.body.output) for box in frame.boxes.values()]
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True, slots=True)
class _Frame:
    title: str
    body: Body
    boxes: dict[str, _Box]


def _frames(graph: GraphSpec, *, top: float) -> list[_Frame]:
    """Inner graphs, one below the other."""
    frames = []
    for title, body in inner_graphs(graph):
        top += _GAP_Y + _FRAME_TOP
        boxes = {name: replace(box, x=box.x + _PAD, y=box.y + top) for name, box in _layout(body).items()}
        frames.append(_Frame(title=title, body=body, boxes=boxes))
        top = max(box.y for box in boxes.values()) + _H + _PAD
    return frames


def _outline(frame: _Frame) -> str:
    left, top = min(b.x for b in frame.boxes.values()) - _PAD, min(b.y for b in frame.boxes.values()) - _FRAME_TOP
    width = max(b.x for b in frame.boxes.values()) + _W + _PAD - left
    height = max(b.y for b in frame.boxes.values()) + _H + _PAD - top
    return (
        f'<rect class="edge" x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="10" '
        f'stroke-dasharray="5 4"/><text class="use" x="{left + 12:g}" y="{top + 20:g}" font-size="13">'
        f"{escape(short(frame.title, 40))}</text>"
    )


def _thread(box: _Box, frame: _Frame) -> str:
    """A dashed line from a node to what it is given."""
    x, y = box.x + _W / 2, box.y + _H
    left, top = min(b.x for b in frame.boxes.values()), min(b.y for b in frame.boxes.values()) - _FRAME_TOP
    right = max(b.x for b in frame.boxes.values()) + _W
    end = min(max(x, left), right)
    return (
        f'<path class="edge" stroke-dasharray="5 4" marker-end="url(#a)" '
        f'd="M{x:g} {y:g}C{x:g} {(y + top) / 2:g} {end:g} {(y + top) / 2:g} {end:g} {top - 2:g}"/>'
    )


def order_of(graph: Body | GraphSpec) -> tuple[str, ...]:
    """The nodes so that each follows its inputs.

    Raises:
        SpecError: they form a circle.
    """
    order, cycle = topological({name: node.inputs for name, node in graph.nodes.items()})
    if cycle:
        raise SpecError(f"cannot draw nodes that feed each other in a circle: {' -> '.join(cycle)}")
    return order


def _layout(graph: Body | GraphSpec) -> dict[str, _Box]:
    """Columns by longest way from the query; rows in order of writing, centred."""
    order = order_of(graph)
    column = {QUERY: 0}
    for name in order:
        column[name] = 1 + max(column.get(source, 0) for source in graph.nodes[name].inputs)
    columns: dict[int, list[str]] = {}
    for name in (QUERY, *graph.nodes):
        columns.setdefault(column[name], []).append(name)
    tallest = max(len(names) for names in columns.values())
    boxes: dict[str, _Box] = {}
    for c, names in columns.items():
        offset = (tallest - len(names)) * (_H + _GAP_Y) / 2
        for row, name in enumerate(names):
            node = graph.nodes.get(name)
            boxes[name] = _Box(
                name=name,
                use=node.use if node else "the question",
                note=f"k = {node.k}" if node and node.k else "",
                stage=node.stage if node else "query",
                x=_PAD + c * (_W + _GAP_X),
                y=_PAD + offset + row * (_H + _GAP_Y),
            )
    return boxes


def _edge(a: _Box, b: _Box) -> str:
    x1, y1, x2, y2 = a.x + _W, a.y + _H / 2, b.x - 3, b.y + _H / 2
    bend = (x1 + x2) / 2
    return (
        f'<path class="edge" stroke-width="1.6" marker-end="url(#a)" '
        f'd="M{x1:g} {y1:g}C{bend:g} {y1:g} {bend:g} {y2:g} {x2:g} {y2:g}"/>'
    )


def _rect(box: _Box, output: bool) -> str:
    colour = _COLOURS.get(box.stage, "#5b6472")
    return (
        f'<rect class="box" x="{box.x:g}" y="{box.y:g}" width="{_W}" height="{_H}" rx="8" stroke="{colour}" '
        f'stroke-width="{3 if output else 1.5}"/>'
        f'<rect x="{box.x:g}" y="{box.y + 8:g}" width="4" height="{_H - 16}" rx="2" fill="{colour}"/>'
        f'<text class="name" x="{box.x + 14:g}" y="{box.y + 24:g}" font-size="14" font-weight="600">'
        f"{escape(short(box.name, 18))}</text>"
        f'<text class="use" x="{box.x + 14:g}" y="{box.y + 43:g}" font-size="12">{escape(short(box.use, 24))}</text>'
        f'<text class="use" x="{box.x + _W - 10:g}" y="{box.y + 24:g}" font-size="12" text-anchor="end">'
        f"{escape(box.note)}</text>"
    )


def short(text: str, n: int) -> str:
    """The text, cut at n characters."""
    return text if len(text) <= n else f"{text[: n - 1]}…"


def _all_nodes(graph: GraphSpec) -> list[tuple[str, Node]]:
    """Nodes of the graph and of its inner graphs, those as "GRAPH/NODE"."""
    inner = [(f"{name}/{node}", n) for name, body in graph.graphs.items() for node, n in body.nodes.items()]
    return [*graph.nodes.items(), *inner]


def html(graph: GraphSpec) -> str:
    """The SVG in a page, with every node's parameters below it."""
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{escape(node.use)}<td>{escape(', '.join(node.inputs))}<td>{node.k or ''}"
        f"<td>{escape(', '.join(f'{key}: {value}' for key, value in node.params.items()))}"
        for name, node in _all_nodes(graph)
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(graph.description or 'graph')}</title>"
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem}td,th{padding:.3rem .8rem;text-align:left;"
        "border-bottom:1px solid #8885}svg{max-width:100%;height:auto}</style>"
        f"<p>{escape(graph.description)}</p>{svg(graph)}"
        f"<table><tr><th>node<th>use<th>in<th>k<th>with{rows}</table></html>\n"
    )


def graph_html(graph: GraphSpec) -> str:
    """The SVG for a notebook, bounded and escaped. It stands apart from the page: its style reaches nothing else there."""
    said = escape(short(graph.description or repr(graph), 240))
    if len(graph.nodes) + sum(len(body.nodes) for body in graph.graphs.values()) > _MOST_DRAWN:
        return f"<p>{said}</p>"
    try:
        drawn = b64encode(svg(graph).encode()).decode()
    except SpecError:  # nodes in a circle; `rag check` says more
        return f"<p>{said}</p>"
    return f'<p>{said}</p><img alt="{said}" style="max-width:100%" src="data:image/svg+xml;base64,{drawn}">'


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
