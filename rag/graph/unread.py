"""A graph whose form is wrong in places: what can be read of it is checked too, so that one mistake hides no other."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from rag.core.yaml_source import Place, Source
from rag.graph.check import check
from rag.graph.checked import Problem, in_order
from rag.graph.form import form_problems
from rag.graph.spec import GraphSpec, Spec

_USE = "unread.unread"
_PART = {"use": _USE}
_NODES = {"unread": _PART}


def all_problems(source: Source, error: ValidationError) -> list[str]:
    """What is wrong with the form, and with the meaning of the rest, in the order of lines."""
    places = [tuple(each["loc"]) for each in error.errors()]
    messages = form_problems(source, error, GraphSpec, whole="the graph")
    form = [Problem(line=source.line(place), message=text) for place, text in zip(places, messages, strict=True)]
    return in_order([*form, *_of_the_rest(source, places)])


def _of_the_rest(source: Source, places: Iterable[Place]) -> list[Problem]:
    data = deepcopy(source.data)
    unread = [each for place in places for each in (_mended(data, place), *_perhaps_meant(data, place))]
    try:
        graph = GraphSpec.model_validate(data)
    except ValidationError:  # there is nothing left to check, such as without any node
        return []
    return check(Spec(graph=graph, source=source), unread=unread).found


def _perhaps_meant(data: dict[str, Any], place: Place) -> list[Place]:
    """What a node does not say, where a key of it is unknown, which may be that one with a slip."""
    match place:
        case ("nodes", node, _):
            given, above = data["nodes"][node], place[:-1]
        case ("graphs", graph, "nodes", node, _):
            given, above = data["graphs"][graph]["nodes"][node], place[:-1]
        case _:
            return []
    return [(*above, key) for key in ("in", "k") if key not in given]


def _mended(data: dict[str, Any], place: Place) -> Place:
    """Put what passes in place of what cannot be read, or take it out; return the place that was mended."""
    holder = data
    for depth, key in enumerate(place[:-1], start=1):
        if not isinstance(holder.get(str(key)), dict):
            place = place[:depth]
            break
        holder = holder[str(key)]
    if place:
        holder.pop(str(place[-1]), None)
        holder.update({str(place[-1]): filler for filler in _fillers(place)})
    return place


def _fillers(place: Place) -> list[Any]:
    """What stands in for a part that a graph cannot be without; none where it can."""
    match place:
        case ("version",):
            return [1]
        case (*_, "output"):
            return ["unread"]
        case (*_, "use"):
            return [_USE]
        case ("nodes" | "models", _) | ("graphs", _, "nodes", _):
            return [_PART]
        case ("graphs", _, "nodes"):
            return [_NODES]
        case ("graphs", _):
            return [{"nodes": _NODES, "output": "unread"}]
    return []
