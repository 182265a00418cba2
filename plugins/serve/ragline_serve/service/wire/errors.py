"""The form of errors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


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
