"""A filter as Qdrant takes it: records of its client, so that no text is read as anything but a value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rag.errors import SpecError
from rag.filters import Condition, Filter, fold

if TYPE_CHECKING:
    from qdrant_client import models


def qdrant_filter(where: Filter | None) -> models.Filter | None:
    """The filter; None for none.

    Raises:
        SpecError: an operator or a value that Qdrant has no condition for.
    """
    if where is None:
        return None
    return fold(where, condition=_condition, all_of=_all, any_of=_any, negation=_not)


def _all(parts: Iterable[models.Filter]) -> models.Filter:
    from qdrant_client import models

    return models.Filter(must=list(parts))


def _any(parts: Iterable[models.Filter]) -> models.Filter:
    from qdrant_client import models

    return models.Filter(should=list(parts))


def _not(part: models.Filter) -> models.Filter:
    from qdrant_client import models

    return models.Filter(must_not=[part])


def _condition(node: Condition) -> models.Filter:
    from qdrant_client import models

    operator, key = node.operator, node.key
    match operator.name:
        case "exists":
            empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
            return models.Filter(must_not=[empty, models.IsNullCondition(is_null=models.PayloadField(key=key))])
        case "eq":
            return _equal(node, operator.value)
        case "in":
            return _one_of(node, operator.value)
        case "gt" | "gte" | "lt" | "lte" if isinstance(operator.value, int | float):
            return _one(models.FieldCondition(key=key, range=models.Range(**{operator.name: float(operator.value)})))
    raise _cannot(node)


def _one_of(node: Condition, values: Iterable[Any]) -> models.Filter:
    from qdrant_client import models

    values = list(values)
    if values and all(isinstance(value, str) for value in values):
        return _one(models.FieldCondition(key=node.key, match=models.MatchAny(any=[_whole(each) for each in values])))
    if not values:
        return models.Filter(must=[models.HasIdCondition(has_id=[])])
    return models.Filter(should=[_equal(node, value) for value in values])


def _equal(node: Condition, value: Any) -> models.Filter:
    """Numbers by a range, as 1 and 1.0 are the same here."""
    from qdrant_client import models

    if isinstance(value, bool):
        return _one(models.FieldCondition(key=node.key, match=models.MatchValue(value=value)))
    if isinstance(value, str):
        return _one(models.FieldCondition(key=node.key, match=models.MatchValue(value=_whole(value))))
    if isinstance(value, int | float) and math.isfinite(value):
        return _one(models.FieldCondition(key=node.key, range=models.Range(gte=float(value), lte=float(value))))
    raise _cannot(node)


def _one(condition: models.FieldCondition) -> models.Filter:
    from qdrant_client import models

    return models.Filter(must=[condition])


def _whole(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise SpecError(f"where: a filter of Qdrant cannot hold halves of characters: {text[:80]!r}")
    return text


def _cannot(node: Condition) -> SpecError:
    return SpecError(
        f"where: Qdrant cannot ask '{node.operator.name}' with this value (field '{node.key[:80]}'). It can: eq and in of "
        "text, numbers, true and false; gt, gte, lt and lte of numbers; exists"
    )
