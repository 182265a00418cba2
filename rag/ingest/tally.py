"""What happened to the parts of a file, counted, so that a thousand of one kind are one line."""

from __future__ import annotations

from collections.abc import Iterator

from rag.ingest.types import Note

_KINDS = 32
"""Kinds that are told apart: a file may hold parts of which each is broken in a way of its own."""


class Tally:
    """Counts, with the place of the first of each kind."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bool], tuple[int, str]] = {}

    def add(self, kind: str, place: str, *, lost: bool = False) -> None:
        """Count one. `place`: as in "first {place}"."""
        key = kind, lost
        if key not in self._seen and len(self._seen) >= _KINDS:
            key = ("left out for other reasons" if lost else "other notes"), lost
        count, first = self._seen.get(key, (0, place))
        self._seen[key] = count + 1, first

    def lines(self) -> Iterator[tuple[str, bool]]:
        """A line for each kind, and whether content is missing for it."""
        for (kind, lost), (count, first) in self._seen.items():
            yield f"{kind}: {count:,}, first {first}", lost

    def tell(self, note: Note) -> None:
        """Say all of them."""
        for line, lost in self.lines():
            note(line, lost=lost)
