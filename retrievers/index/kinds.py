"""A record of an index that says what it holds beside plain text, and says nothing where that is nothing."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


def without_nothing(self: Any, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """What a record (pydantic asks for a method) says of itself: `kinds` and `languages` only where there are any."""
    said: dict[str, Any] = serialise(self)
    return {name: value for name, value in said.items() if value or name not in ("kinds", "languages")}


class HoldsKinds(BaseModel):
    """`kinds`: of contents beside text, in order of name. `languages`: code -> documents, "" for those of none that is
    known; empty where nobody looked. Files of an index without either are what they were."""

    kinds: tuple[str, ...] = ()
    languages: dict[str, int] = {}
    _said = model_serializer(mode="wrap")(without_nothing)
