"""A record of an index that says which kinds of content it has, and says nothing where there is text alone."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


class HoldsKinds(BaseModel):
    """`kinds`: of contents beside text, in order of name. Files of an index of text alone are what they were."""

    kinds: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _said(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = serialise(self)
        if not self.kinds:
            del said["kinds"]
        return said
