"""The settings of a sweep: one graph with some parameters changed, each checked as a graph file is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.errors import SpecError, did_you_mean
from rag.files import Source
from rag.graphs import GraphSpec, Node, Part, Spec, check, parameters_of, spec_of
from ragline_lab.sweep.axes import Axis, grid

AS_IT_WAS = "as it was"
_SHOWN = 10
"""Wrong settings that are told apart before the rest is only counted."""

Keys = tuple[str, ...]
"""The way to a value in the data of a graph file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A graph with some parameters changed. `changes`: path -> value; none for the graph as it was.

    `data`: what its file says. `legs`: those that it searches.
    """

    changes: Mapping[str, Any]
    data: Mapping[str, Any]
    spec: Spec
    legs: tuple[str, ...]

    @property
    def label(self) -> str:
        """The changes as they may be typed: `fused.norm=max fused.k=20`."""
        return _label(self.changes)


def settings_of(spec: Spec, axes: Sequence[Axis]) -> list[Setting]:
    """The graph as it was, then every setting of the grid, in order. Loads no weights.

    Raises:
        SpecError: the graph is wrong, a path leads to no parameter, or a setting makes a graph that is wrong.
    """
    checked = check(spec)
    if checked.problems:
        raise SpecError(*checked.problems)
    data = _data(spec)
    first = Setting(changes={}, data=_copy(data), spec=spec, legs=checked.legs)
    places = _places(spec.graph, axes)
    for place in places.values():
        whole = len(place.part) + 2
        if len(place.keys) > whole:  # only a part of this value changes: write it out, defaults and all
            _put(data, place.keys[:whole], place.value)
    settings, problems = [first], list[str]()
    for changes in grid(axes):
        changed = _copy(data)
        for path, value in changes.items():
            _put(changed, places[path].keys, value)
        setting = _checked(spec, changes, changed, problems)
        settings += [setting] if setting else []
    if problems:
        shown = list(dict.fromkeys(problems))
        more = [f"and {len(shown) - _SHOWN:,} problems more"] if len(shown) > _SHOWN else []
        raise SpecError(*shown[:_SHOWN], *more)
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a parameter stands: the keys of its part, those of the whole value, and what that value is now."""

    part: Keys
    keys: Keys
    value: Any


def _checked(base: Spec, changes: Mapping[str, Any], data: dict[str, Any], problems: list[str]) -> Setting | None:
    """The setting as a graph, or None after telling what is wrong with it."""
    try:
        spec = spec_of(Source(name=base.source.name, data=data, lines=base.source.lines))
        checked = check(spec)
        wrong = checked.problems
    except SpecError as error:
        wrong = list(error.problems)
    else:
        if spec.graph.index != base.graph.index:
            wrong = [*wrong, "it changes a model that writes into the index; each value would need an index of its own"]
    problems += [f"with {_label(changes)}: {problem}" for problem in wrong]
    return None if wrong else Setting(changes=changes, data=data, spec=spec, legs=checked.legs)


def _label(changes: Mapping[str, Any]) -> str:
    said = (f"{path}={value if isinstance(value, str) else json.dumps(value)}" for path, value in changes.items())
    return " ".join(said) or AS_IT_WAS


def _places(graph: GraphSpec, axes: Sequence[Axis]) -> dict[str, _Place]:
    """Path -> its place; an error lists every path that leads to none."""
    places, problems = dict[str, _Place](), list[str]()
    for axis in axes:
        try:
            places[axis.path] = _place(graph, axis.path)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(*problems)
    return places


def _place(graph: GraphSpec, path: str) -> _Place:
    parts = dict(_parts(graph))
    fitting = [name for name in parts if f"{path}.".startswith(f"{name}.")]
    if not fitting:
        first = ".".join(path.split(".")[: 2 if path.startswith("models.") else 1])
        raise SpecError(
            f"--over {path}: no node of the graph has this name. {did_you_mean(first, parts)} Settings of an index are no "
            "parameters of a sweep: each would be an index of its own"
        )
    name = max(fitting, key=len)  # a name may have points in it
    keys, part = parts[name]
    first, *inner = [step for step in path[len(name) + 1 :].split(".") if step] or [""]
    if first == "k" and not inner and isinstance(part, Node) and part.k is not None:
        return _Place(part=keys, keys=(*keys, "k"), value=part.k)
    model = parameters_of(part.use)
    known = [*model.model_fields, *(["k"] if isinstance(part, Node) and part.k is not None else [])]
    if first not in model.model_fields:
        raise SpecError(f"--over {path}: {part.use} has no parameter '{first}'. {did_you_mean(first, known)}")
    said = model.model_validate_json(json.dumps(part.params), strict=True)  # defaults filled in, as a file says them
    filled = said.model_dump(mode="json", by_alias=True)[first]
    _require_way(path, filled, [first, *inner])
    return _Place(part=keys, keys=(*keys, "with", first, *inner), value=filled)


def _parts(graph: GraphSpec) -> Iterator[tuple[str, tuple[Keys, Part]]]:
    """Name -> keys and definition of every node, node of an inner graph and model, named as in reports."""
    for name, node in graph.nodes.items():
        yield name, (("nodes", name), node)
    for inner, body in graph.graphs.items():
        for name, node in body.nodes.items():
            yield f"{inner}/{name}", (("graphs", inner, "nodes", name), node)
    for name, part in graph.models.items():
        yield f"models.{name}", (("models", name), part)


def _require_way(path: str, value: Any, steps: Sequence[str]) -> None:
    """Return if every step but the first is a key of what stands there."""
    for before, step in itertools.pairwise(steps):
        if not isinstance(value, dict):
            raise SpecError(
                f"--over {path}: '{before}' is {json.dumps(value)[:80]} in this graph, so it has no '{step}'. Write into the "
                f"graph what is to be varied, or vary '{before}' as a whole"
            )
        if step not in value:
            raise SpecError(f"--over {path}: '{before}' has no '{step}'. {did_you_mean(step, value)}")
        value = value[step]


def _data(spec: Spec) -> dict[str, Any]:
    """What the file of a graph says; of a graph that comes from none, the same made anew."""
    if isinstance(spec.source.data, dict):
        data: dict[str, Any] = _copy(spec.source.data)
        return data
    return spec.graph.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _put(data: dict[str, Any], keys: Keys, value: Any) -> None:
    at = data
    for key in keys[:-1]:
        if key == "with" and "params" in at:  # a file may say either
            key = "params"
        at = at.setdefault(key, {})
    at[keys[-1]] = value


def _copy(data: Any) -> Any:
    """Of plain data; no part of it is shared, so a file of it has no anchors."""
    return json.loads(json.dumps(data))
