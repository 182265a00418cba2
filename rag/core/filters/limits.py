"""How large a filter may be. A request is bounded tightly, a program's own filter only where Python itself is."""

from __future__ import annotations

from dataclasses import dataclass

from rag.core.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`depth`: connectives inside one another. `values`: of one list. `characters`: of a text form, and of one value."""

    depth: int
    conditions: int
    values: int
    key: int
    characters: int

    def require_depth(self, depth: int) -> None:
        if depth > self.depth:
            raise SpecError(f"where: a filter may be nested {self.depth} deep; write it flatter")

    def require_conditions(self, count: int) -> None:
        if count > self.conditions:
            raise SpecError(
                f"where: a filter has at most {self.conditions:,} conditions; use a list of values for one key"
            )

    def require_values(self, count: int) -> None:
        if count > self.values:
            raise SpecError(f"where: a list of a filter has at most {self.values:,} values, got {count:,}")

    def require_key(self, key: str) -> None:
        if len(key) > self.key:
            raise SpecError(f"where: a key of a filter has at most {self.key:,} characters, got {len(key):,}")

    def require_characters(self, text: str) -> None:
        if len(text) > self.characters:
            raise SpecError(f"where: a text of a filter has at most {self.characters:,} characters, got {len(text):,}")


REQUEST = Limits(depth=8, conditions=32, values=256, key=200, characters=10_000)
"""Of a filter that a stranger sends."""

ANY_SIZE = Limits(depth=32, conditions=10_000, values=10_000_000, key=1_000_000, characters=10_000_000)
"""Of a filter that a program makes."""
