"""What goes, as keepers ask for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from rag.erasure.finder import Finder
from rag.erasure.marks import Marks

_NAMES = ("doc_id", "parent", "passages")
"""Fields of our JSON that hold ids of documents or passages (docs/reference/json.md)."""


@dataclass(frozen=True)
class Leaving:
    """Tells what holds something of the documents that go."""

    marks: Marks

    @cached_property
    def finder(self) -> Finder:
        """Finds the marks."""
        return Finder(self.marks.windows)

    def in_text(self, text: str) -> bool:
        """Whether a text quotes them."""
        return bool(self.finder.present(text.encode("utf-8", "replace")))

    def names_any(self, ids: Iterable[str]) -> bool:
        """Whether one of these ids is of a document that goes, or of a passage of one."""
        return not self.marks.doc_ids.isdisjoint(ids)

    def in_line(self, line: bytes) -> bool:
        """Whether a line of JSON quotes them, or names one by its id. A line that is no JSON can only quote."""
        if self.finder.present(line):
            return True
        try:
            return self.names_any(_names(json.loads(line), named=False))
        except (ValueError, RecursionError):
            return False


def _names(value: object, *, named: bool) -> Iterator[str]:
    """Texts in fields that hold ids."""
    if isinstance(value, str) and named:
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _names(inner, named=key in _NAMES)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner, named=named)
