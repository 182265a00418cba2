"""Which inner graphs and components a part is given, read from its definition alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from rag.core.errors import SpecError
from rag.graph.kinds import STAGES
from rag.graph.signature import INNER, signature
from rag.graph.spec import InnerGraph, Part


def is_known(part: Part) -> bool:
    """Whether there is such a component."""
    stage, _, name = part.use.partition(".")
    return stage in STAGES and name in STAGES[stage].registry


def inner_uses(part: Part, known: Collection[str]) -> Iterator[tuple[str, str | Part]]:
    """(parameter, name of an inner graph or a component written there) of every parameter that takes one.

    What cannot be read, such as a component that does not exist, is given nothing; checking says so.
    """
    if not is_known(part):
        return
    stage, _, name = part.use.partition(".")
    try:
        params = signature(STAGES[stage].registry.get(name), STAGES[stage].method).params
    except (SpecError, TypeError):
        return
    for param in params:
        value = part.params.get(param.name)
        if param.resource not in INNER:
            continue
        if isinstance(value, str) and value in known:
            yield param.name, value
        elif isinstance(value, dict) and isinstance(value.get("use"), str):
            values = value.get("with")
            yield param.name, Part(use=value["use"], params=values if isinstance(values, dict) else {})


def graphs_used(parts: Iterable[Part], known: Collection[str]) -> list[str]:
    """Names of the inner graphs that these parts are given, at any depth."""
    names: list[str] = []
    for part in parts:
        for _, use in inner_uses(part, known):
            names += [use] if isinstance(use, str) else graphs_used([use], known)
    return names


def graphs_reached(parts: Iterable[Part], graphs: Mapping[str, InnerGraph]) -> set[str]:
    """Names of the inner graphs that these parts are given, and of those that are given to parts of them."""
    reached: set[str] = set()
    waiting = graphs_used(parts, graphs)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += graphs_used(graphs[name].nodes.values(), graphs)
    return reached
