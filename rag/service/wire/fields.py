"""What documents can be filtered by."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from rag.service.wire.forms import Form
from rag.service.wire.where import FILTER_HELP, Where


class FieldsRequest(Form):
    model: str | None = Field(default=None, description="The graph that searches; unset takes the server's first.")
    where: Where | None = Field(default=None, description=FILTER_HELP)


class MetadataField(BaseModel):
    """`values`: the most frequent ones, the most frequent first. `more`: whether it has others."""

    name: str
    kind: Literal["date", "number", "text", "mixed"]
    values: list[Any]
    more: bool


class FieldsReply(BaseModel):
    """Fields of the metadata of what whoever asks may read. `looked_at`: of so many passages, from all over the index.

    `passing`: how many of those `passages` pass `where`.
    """

    fields: list[MetadataField]
    looked_at: int
    passages: int
    passing: int
