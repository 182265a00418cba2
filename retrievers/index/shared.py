"""Metadata that the units of a document share is stored once, with the first of them.

A unit that leaves metadata to another begins its line with `"shared": [n, key, ...]`: it has the metadata of the unit
`n` rows before it, without these keys, and over that what its own line holds. The unit that it points to is written in
full. Rows are counted backwards, so that the lines of a document mean the same wherever they are copied to.
Only indexes of format 4 have such lines; where little would be saved there are none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Self

SHARED = "shared"
BEGIN = b'{"shared":'
"""How the line of such a unit begins, and no other."""

_LEAST = 512
"""Characters of JSON that a unit must save; below that every unit has its metadata itself."""


@dataclass(frozen=True, slots=True)
class Base:
    """The metadata of a unit that the next units of the same document may point to."""

    row: int
    metadata: Mapping[str, Any]
    _sizes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, metadata: Mapping[str, Any], *, row: int) -> Self | None:
        """None where the unit is no part of a document."""
        named = isinstance(metadata.get("parent"), str) and all(isinstance(key, str) for key in metadata)
        return cls(row, metadata) if named else None

    def pointer(self, metadata: Mapping[str, Any], *, row: int) -> tuple[list[int | str], dict[str, Any]] | None:
        """What a unit of the same document writes: where it points to, and its own metadata. None where it writes all."""
        if metadata.get("parent") != self.metadata["parent"]:
            return None
        own = {key: value for key, value in metadata.items() if not self._has(key, value)}
        if sum(self._size(key) for key in metadata if key not in own) < _LEAST:
            return None
        lacking = [key for key in self.metadata if key not in metadata]
        return [row - self.row, *lacking], own

    def _has(self, key: str, value: Any) -> bool:
        """The same object, or an equal text: 1, 1.0 and True are equal too, but not the same metadata."""
        if key not in self.metadata:
            return False
        kept = self.metadata[key]
        return kept is value or (isinstance(value, str) and isinstance(kept, str) and kept == value)

    def _size(self, key: str) -> int:
        if key not in self._sizes:
            value = self.metadata[key]
            length = len(value) if isinstance(value, str) else len(json.dumps(value, default=str))
            self._sizes[key] = len(key) + length
        return self._sizes[key]


def base_row(pointer: Any, row: int) -> int:
    """The row that the unit of `row` points to.

    Raises:
        ValueError: there is no such row.
    """
    back = pointer[0] if isinstance(pointer, list) and pointer else None
    if not isinstance(back, int) or not 0 < back <= row:
        raise ValueError(f"it shares the metadata of a unit that is not there: {str(pointer)[:80]}")
    return row - back


def merged(pointer: list[Any], base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a unit. Lists and objects are its own, so that changing one unit's changes no other's."""
    lacking = set(pointer[1:])
    kept = {key: value for key, value in base.items() if key not in lacking and key not in own}
    return {key: deepcopy(v) if isinstance(v, list | dict) else v for key, v in kept.items()} | dict(own)
