"""What every form of a request keeps to: few fields, lists that are given up at the first mistake, a filter; and that of errors.

Fields of foreign forms that a graph has no use for are not read, for clients send many; the reply of a chat names them.
In forms of our own an unknown field is a mistake.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from rag.doors import content_of_request as read
from rag.errors import SpecError
from rag.filters import REQUEST, conditions, parse_where
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


FILTER_HELP = 'Metadata filter: {"lang": "de", "year": {"gte": 2020}}, or as text: lang = de and year >= 2020.'


def understood_filter(value: Any) -> Any:
    """A metadata filter that is small and can be understood, as it came; what is neither text nor an object too.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str | dict):
        return value
    try:
        tree = parse_where(value, limits=REQUEST)
    except SpecError as error:
        raise ValueError(re.sub(r"^where[:.,]? ?", "", str(error))) from None
    for condition in () if tree is None else conditions(tree):
        operand = condition.operator.value
        if not all(map(_is_scalar, operand if isinstance(operand, tuple) else (operand,))):
            raise ValueError("the values of a filter are text, finite numbers, true, false and null")
    return value


def _is_scalar(value: Any) -> bool:
    return value is None or (
        isinstance(value, str | int | float) and value not in (math.inf, -math.inf) and value == value
    )


Where = Annotated[str | dict[str, Any], BeforeValidator(understood_filter)]


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """Every error takes this form."""

    error: ErrorBody


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an endpoint, for the OpenAPI. `default` keeps FastAPI from promising its own form for 422."""
    return {code: {"model": Error} for code in codes} | {"default": {"model": Error, "description": "Any other error"}}
