"""YAML text -> plain data and the line of every part of it.

One loader for graphs and whatever else a user writes: it refuses duplicate keys, anchors, aliases and tags, is bounded in
size and depth, and builds nothing but dicts, lists, strings, numbers, booleans and None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from rag.core.errors import SpecError

MAX_CHARS = 256 * 1024
MAX_DEPTH = 24
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
"""What YAML takes for a date stays text: plain data has no dates."""

Place = tuple[str | int, ...]
"""The way to a part of the data: ("nodes", "ranked", "k")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Parsed text. `name` is how messages call it; `lines` maps a place to its line, from 1."""

    name: str
    data: Any
    lines: Mapping[Place, int]

    def where(self, place: Place) -> str:
        """`name:line` of a place, or of the nearest place above it that has a line."""
        line = self.line(place)
        return f"{self.name}:{line}" if line else self.name

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest place above it that has one; 0 where none has."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0)


def parse_yaml(text: str, *, name: str) -> Source:
    """Parse one YAML document.

    Raises:
        SpecError: not YAML, too large or deep, a duplicate key, an anchor, alias or tag; with name and line.
    """
    if len(text) > MAX_CHARS:
        raise SpecError(f"{name}: {len(text):,} characters; a file like this may have {MAX_CHARS:,}")
    try:
        _refuse_machinery(text, name)
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            lines: dict[Place, int] = {}
            data = _plain(root, loader, (), lines, name) if root is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or str(error)
        raise SpecError(f"{name}{line}: this is not YAML: {what}") from None
    except ValueError as error:  # such as an impossible date
        raise SpecError(f"{name}: {error}") from None
    return Source(name=name, data=data, lines=lines)


def _refuse_machinery(text: str, name: str) -> None:
    """Raise on anchors, aliases, tags and deep nesting, seen as events so that nothing has been expanded yet."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        where = f"{name}:{event.start_mark.line + 1}" if event.start_mark else name
        if depth > MAX_DEPTH:
            raise SpecError(f"{where}: nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise SpecError(f"{where}: anchors (&) and aliases (*) are not allowed here; write the value out")
        if getattr(event, "tag", None):
            raise SpecError(f"{where}: tags (!) are not allowed here; write plain values")


def _plain(node: yaml.Node, loader: yaml.SafeLoader, place: Place, lines: dict[Place, int], name: str) -> Any:
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return dict(_pairs(node, loader, place, lines, name))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, loader, (*place, i), lines, name) for i, child in enumerate(node.value)]
    value = loader.construct_object(node)
    return node.value if node.tag == _TIMESTAMP else value


def _pairs(
    node: yaml.MappingNode, loader: yaml.SafeLoader, place: Place, lines: dict[Place, int], name: str
) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise SpecError(f"{name}:{line}: a key must be plain text")
        key = str(key_node.value)
        if key in seen:
            raise SpecError(f"{name}:{line}: '{key}' is written twice; keep one")
        seen.add(key)
        value = _plain(value_node, loader, (*place, key), lines, name)
        lines[(*place, key)] = line
        yield key, value
