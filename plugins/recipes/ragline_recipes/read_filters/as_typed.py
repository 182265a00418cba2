"""A question that is searched as it was typed: what its words may not be read as. It stands beside the text as a content.

{"kind": "as_typed"}                       nothing is read from the words
{"kind": "as_typed", "fields": ["year"]}   no filter on these fields
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from rag.types import Content

KIND = "as_typed"
_MOST_FIELDS, _LONGEST = 40, 200


def as_typed(fields: Sequence[str] = ()) -> Content:
    """The content that says so: of these fields alone, or of all."""
    told = json.dumps([*fields])
    return Content(
        kind=KIND, uri="memory:as_typed", sha256=sha256(told.encode()).hexdigest(), metadata={"fields": [*fields]}
    )


def left_alone(contents: Iterable[Content]) -> frozenset[str] | None:
    """The fields that are not read, by the contents of a question; None where nothing is read at all."""
    told = [list(content.metadata.get("fields") or ()) for content in contents if content.kind == KIND]
    return None if any(not fields for fields in told) else frozenset(name for fields in told for name in fields)


class AsTypedForm:
    """How it goes over the wire."""

    @staticmethod
    def shown(content: Content) -> Mapping[str, Any]:
        """As a request holds it."""
        fields = list(content.metadata.get("fields") or ())
        return {"kind": KIND, **({"fields": fields} if fields else {})}

    @staticmethod
    def read(data: Mapping[str, Any]) -> Content:
        """The content of a request.

        Raises:
            ValueError: it holds something else.
        """
        fields = data.get("fields", [])
        of_text = isinstance(fields, list) and all(isinstance(name, str) and len(name) <= _LONGEST for name in fields)
        if not of_text or len(fields) > _MOST_FIELDS or set(data) - {"kind", "fields"}:
            raise ValueError(f"{KIND} has at most {_MOST_FIELDS} fields, a list of names, and nothing else")
        return as_typed(fields)


class AsTypedOption:
    """`--as-typed` of `rag search`, `rag ask` and `rag chat`."""

    @staticmethod
    def options(parser: ArgumentParser) -> None:
        """Add it."""
        parser.add_argument("--as-typed", action="store_true", help="read no filters from the question")

    @staticmethod
    def contents(given: Namespace) -> list[Content]:
        """What stands beside the question."""
        return [as_typed()] if given.as_typed else []

    @staticmethod
    def where(given: Namespace) -> list[str]:
        """No filter."""
        return []
