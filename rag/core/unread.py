"""Documents of which the doc_id alone is read until more is asked for: most hits are never looked at.

Once read, such a document is a plain `Document`, to whoever holds it. Knows no index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from rag.core.types import Document

_OTHERS = tuple(field.name for field in fields(Document) if field.name != "doc_id")
_set, _new = object.__setattr__, object.__new__

Read = Callable[[bytes, int], Document]
"""A stored line and its row -> the document."""


class Unread(Document):
    """A document that is still to be read. Safe to share between threads: whoever reads it reads the same."""

    __slots__ = ()

    def __init__(self, **whole: Any) -> None:  # asked for by `dataclasses.replace`
        super().__init__(**whole)
        _set(self, "__class__", Document)

    def __getattr__(self, name: str) -> Any:
        """What is not there yet: Python asks here only where it finds a slot empty."""
        if name not in _OTHERS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        _read(self)
        return getattr(self, name)

    def __eq__(self, other: object) -> bool:
        return bool(_read(self) == (_read(other) if isinstance(other, Unread) else other))

    def __hash__(self) -> int:
        return hash(_read(self))

    def __repr__(self) -> str:
        return repr(_read(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _read(self).__reduce_ex__(protocol)


def unread(doc_id: str, read: Read, line: bytes, row: int) -> Document:
    """The document of this doc_id, whose stored line `read` understands.

    Whatever `read` raises, reading a field of the document raises.
    """
    document = _new(Unread)
    _set(document, "doc_id", doc_id)
    _set(document, "unread", (read, line, row))
    return document


def _read(document: Document) -> Document:
    """The same object, all of it read."""
    if document.unread is not None:
        read, line, row = document.unread
        whole = read(line, row)
        for name in _OTHERS:
            _set(document, name, getattr(whole, name))
        _set(document, "__class__", Document)
        _set(document, "unread", None)  # last: another thread may be on its way here
    return document
