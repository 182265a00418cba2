"""The metadata filter of a request."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from rag.errors import SpecError
from rag.filters import REQUEST, conditions, parse_where

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
