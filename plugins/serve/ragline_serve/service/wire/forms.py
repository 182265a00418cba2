"""What every form of a request keeps to: few fields, and lists that are given up at the first mistake.

Fields of foreign forms that a graph has no use for are not read, for clients send many; the reply of a chat names them.
In forms of our own an unknown field is a mistake.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from rag.doors import content_of_request as read
from rag.types import Content

MOST_FIELDS = 64
"""Fields of an object in a request: all that OpenAI's clients know, and some."""
MOST_PARTS = 64
"""Pieces of a message, and contents beside a question."""


def few_fields(data: Any) -> Any:
    """An object of a request whose fields are few, before each that is not known is complained of.

    Raises:
        ValueError: they are not.
    """
    if isinstance(data, dict) and len(data) > MOST_FIELDS:
        raise ValueError(f"an object of a request has at most {MOST_FIELDS} fields, got {len(data):,}")
    return data


Item = TypeVar("Item")
# A request of 4 MiB can be wrong in a million places: a list is given up at the first of them.
Listed = Annotated[list[Item], Field(fail_fast=True)]
Text = Annotated[str, Field(max_length=1_000_000)]

Contents = Annotated[
    Listed[Annotated[Content, PlainValidator(read, json_schema_input_type=dict[str, Any])]],
    Field(
        max_length=MOST_PARTS,
        description="What is asked beside the text: objects with a kind, in the form that it has.",
    ),
]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    _few_fields = model_validator(mode="before")(few_fields)


class ForeignForm(Form):
    """A form that others made and go on widening: fields that are not known here are not read."""

    model_config = ConfigDict(extra="ignore")
