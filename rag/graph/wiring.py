"""How nodes are joined: names known, inputs exist, no cycle, every node reaches the output, types meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from rag.core.errors import did_you_mean
from rag.core.protocols import WritesOnePerQuery
from rag.core.types import Context, Query, Ranking
from rag.core.yaml_source import Place
from rag.graph.checked import Checked
from rag.graph.kinds import STAGES
from rag.graph.signature import RECORDS
from rag.graph.spec import ANSWERING, QUERY

MOST_HINTS = 20
"""Unknown names that are compared with all the known ones; also circles that are told, and names of each."""


def check_wiring(checked: Checked) -> None:
    """Inputs and output exist, no cycle, every node is used, types meet. A circle or a wrong name hides nothing else."""
    nodes, output = checked.body.nodes, checked.body.output
    sound = not any(_may_join(place) for place in checked.unread)
    hints: dict[str, str] = {}
    for name, node in nodes.items():
        for source in node.inputs:
            if source != QUERY and source not in nodes:
                if source not in hints and len(hints) < MOST_HINTS:
                    hints[source] = f" {did_you_mean(source, [QUERY, *nodes])}"
                checked.complain(
                    ("nodes", name, "in"), f"no node '{source}' to take input from.{hints.get(source, '')}"
                )
                sound = False
    if output not in nodes:
        checked.complain(("output",), f"output: no node '{output}'. {did_you_mean(output, nodes)}")
        sound = False
    inputs = {name: node.inputs for name, node in nodes.items()}
    order, circles = _untangled(inputs)
    for circle in circles:
        names = circle if len(circle) <= MOST_HINTS else [*circle[:MOST_HINTS], "...", circle[-1]]
        checked.complain(("nodes", circle[0], "in"), f"the nodes feed each other in a circle: {' -> '.join(names)}")
    if sound:  # else it may be the wrong name that nothing leads from it
        used = ancestors(output, inputs)
        for name in nodes:
            if name not in used:
                checked.complain(
                    ("nodes", name), f"nothing leads from it to the output '{output}'; wire it or remove it"
                )
    if sound and not circles:
        checked.order = order
    _check_types(checked, order)


def _may_join(place: Place) -> bool:
    """Whether what could not be read there may be what joins nodes."""
    return place[:1] in (("nodes",), ("graphs",), ("output",)) and place[-1] not in ("k", "use", "with")


def _untangled(inputs: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Names in order, as if each circle were open at one place, and the circles; of very many, the first."""
    left = dict(inputs)
    circles: list[list[str]] = []
    while len(circles) < MOST_HINTS:
        order, circle = topological(left)
        if not circle:
            return order, circles
        circles.append(circle)
        left[circle[1]] = tuple(source for source in left[circle[1]] if source != circle[0])
    return tuple(inputs), circles


def topological(inputs: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, ...], list[str]]:
    """Names so that each follows its inputs; or a cycle, when there is one."""
    known = {name: [source for source in sources if source in inputs] for name, sources in inputs.items()}
    try:
        return tuple(TopologicalSorter(known).static_order()), []
    except CycleError as error:
        return (), list(error.args[1])


def ancestors(name: str, inputs: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The node and all nodes that lead to it."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in inputs and current not in reached:
            reached.add(current)
            waiting.extend(inputs[current])
    return reached


def _check_types(checked: Checked, order: Sequence[str]) -> None:
    """Record types between nodes, `k` where it belongs, one or many records per qid."""
    nodes = checked.body.nodes
    many: dict[str, bool] = {QUERY: False}
    for name in order:
        node, signed = nodes[name], checked.signatures.get(name)
        many[name] = any(many.get(source, False) for source in node.inputs)
        if signed is None:
            continue
        stage = node.stage
        gathers = STAGES[stage].gathers
        if gathers:
            many[name] = False
        elif stage == "reformulate":
            component = checked.classes[name]
            many[name] |= not (isinstance(component, WritesOnePerQuery) and component.one_per_query)
        elif stage in ("assemble", *ANSWERING) and many[name]:
            checked.complain(
                ("nodes", name),
                f"{node.use} wants one input per question, but its input has several. Put a fuse.* between.",
            )
            many[name] = False
        expected = signed.ports * len(node.inputs) if gathers else signed.ports
        if len(expected) != len(node.inputs):
            ports = ", ".join(RECORDS[p] for p in expected)
            checked.complain(
                ("nodes", name, "in"),
                f"{node.use} takes {len(expected)} input(s) ({ports}), got {len(node.inputs)}",
            )
        for source, port in zip(node.inputs, expected, strict=False):
            feeder = checked.signatures.get(source)
            given = Query if source == QUERY else feeder.output if feeder else None
            if given is not None and given is not port:
                checked.complain(
                    ("nodes", name, "in"),
                    f"{node.use} takes {RECORDS[port]}, but its input '{source}' gives {RECORDS[given]}. "
                    f"{_bridge(given, port)}",
                )
        if signed.takes_k and node.k is None:
            checked.complain(("nodes", name, "k"), f"{node.use} needs k: how many hits to keep")
        if not signed.takes_k and node.k is not None:
            checked.complain(("nodes", name, "k"), f"{node.use} takes no k")
    if many.get(checked.body.output):
        checked.complain(("output",), "output: it has several records per question. Put a fuse.* node before it.")


def _bridge(given: type, port: type) -> str:
    bridges = {
        (Query, Ranking): "Put a retrieve.* node between them.",
        (Query, Context): "Put retrieve.* and assemble.* nodes between them.",
        (Ranking, Context): "Put an assemble.* node between them.",
    }
    return bridges.get((given, port), "Wire it to another node.")
