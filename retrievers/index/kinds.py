"""A record of an index that says which kinds of content it has, and says nothing where there is text alone."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


def without_no_kinds(self: Any, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """What a record (pydantic asks for a method) says of itself: its `kinds` only where there are any."""
    said: dict[str, Any] = serialise(self)
    if not self.kinds:
        del said["kinds"]
    return said


class HoldsKinds(BaseModel):
    """`kinds`: of contents beside text, in order of name. Files of an index of text alone are what they were."""

    kinds: tuple[str, ...] = ()
    _said = model_serializer(mode="wrap")(without_no_kinds)
