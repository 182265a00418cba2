"""A plan for a question about many documents, in a fixed form, and how it is read. Nothing of it is ever run as a program."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from rag.core.errors import SpecError, did_you_mean
from rag.core.filters import REQUEST, AllOf, AnyOf, Condition, Filter, Not, as_mapping, conditions, fold, parse_where
from rag.core.filters.operators import Equal, OneOf, Range
from rag.core.filters.values import members, moment_of, number_of
from rag.core.replies import without_reasoning
from rag.core.types import Document
from rag.core.words import first_words, in_one_line
from rag.stages.passages import defused
from retrievers.index.fields import Field

Operation = Literal["count", "sum", "list", "earliest", "latest", "group"]
_BY_FIELD = ("sum", "earliest", "latest", "group")
Trouble = Literal["no_plan", "other_question", "unknown_operation", "unknown_field", "bad_filter"]

_KEYS = ("operation", "where", "text", "field")
_LONGEST_CONDITION = 30
_SHOWN_VALUES = 6
_SHOWN_CHARACTERS = 60
_AMOUNT = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", re.ASCII)
_DAY, _EPOCH = 86_400_000_000, 719_163
"""Microseconds of a day, and the number of the day from which instants count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done: keep the documents that pass `where` and whose text fulfils `condition`, then the operation.

    `condition`: empty where metadata says it all. `field`: what sum, earliest, latest and group look at. `mended`: values that were
    put into the form that documents have.
    """

    operation: Operation
    where: Filter | None
    condition: str
    field: str
    mended: int = 0

    def __str__(self) -> str:
        """As JSON, in one line."""
        told = {
            "operation": self.operation,
            **({"where": as_mapping(self.where)} if self.where is not None else {}),
            **({"text": self.condition} if self.condition else {}),
            **({"field": self.field} if self.field else {}),
        }
        return json.dumps(told, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplanned:
    """Why a reply is no plan."""

    trouble: Trouble
    detail: str


def read_plan(reply: str, fields: Mapping[str, Field]) -> Plan | Unplanned:
    """The first JSON object of a reply as a plan over these fields.

    Values of `=` and `in` that a field has in another letter case or type are put right and counted. earliest and latest
    without a field take the only one that has dates, or else the only one that has an order.
    """
    told = _object(reply)
    if told is None:
        return Unplanned(trouble="no_plan", detail="the reply holds no JSON object")
    operation, where, text, field = (_text(told.get(key)) for key in _KEYS)
    if operation == "other":
        return Unplanned(
            trouble="other_question", detail="the model says that this is no question about many documents"
        )
    if operation not in get_args(Operation):
        known = did_you_mean(operation[:80], get_args(Operation))
        return Unplanned(trouble="unknown_operation", detail=f"no operation {operation[:80]!r}. {known}")
    try:
        tree = parse_where(where, limits=REQUEST) if where else None
    except SpecError as error:
        return Unplanned(trouble="bad_filter", detail=str(error)[:300])
    if operation in ("earliest", "latest") and not field:
        field = _ordering(fields)
    keys = [condition.key for condition in _conditions(tree)]
    needed = [field] if operation in _BY_FIELD else []
    for name in (*keys, *needed):
        if name not in fields:
            return Unplanned(
                trouble="unknown_field", detail=f"no field {name[:80]!r}. {did_you_mean(name[:80], fields)}"
            )
    if operation in ("earliest", "latest") and not fields[field].ordered:
        return Unplanned(
            trouble="unknown_field", detail=f"values of {field[:80]!r} have no order: they are no dates or numbers"
        )
    if operation == "sum" and any(amount_of(value) is None for value in fields[field].values):
        return Unplanned(trouble="unknown_field", detail=f"not all values of {field[:80]!r} are numbers")
    if wrong := _without_order(tree, fields):
        return Unplanned(trouble="bad_filter", detail=f"values of {wrong[:80]!r} have no order to compare by")
    mended = _mended(tree, fields) if tree is not None else None
    return Plan(
        operation=operation,  # type: ignore[arg-type]  # it is one of them
        where=mended,
        condition=first_words(in_one_line(text), _LONGEST_CONDITION),
        field=field if needed else "",
        mended=sum(one != other for one, other in zip(_conditions(tree), _conditions(mended), strict=True)),
    )


def plan_form() -> str:
    """JSON Schema of a reply, for models that can be held to one. Any operation may be `other`."""
    return json.dumps(
        {
            "type": "object",
            "properties": {
                "operation": {"enum": [*get_args(Operation), "other"]},
                **{key: {"type": "string", "maxLength": 200} for key in _KEYS[1:]},
            },
            "required": list(_KEYS),
            "additionalProperties": False,
        }
    )


def told_fields(fields: Mapping[str, Field]) -> str:
    """The fields for a prompt, one a line. Their values come from documents, so each is short, quoted and on the line."""
    return "\n".join(f"- {_name(field.name)}: {_told(field)}" for field in fields.values()) or "(none)"


def value_of(document: Document, field: Field, *, last: bool = False) -> Any:
    """The value that a document is ordered by: of several the first in order, or the last; None where none has an order."""
    values = [value for value in members(document.metadata, field.name) if order_of(value) is not None]
    return (max if last else min)(values, key=lambda value: order_of(value) or 0.0, default=None)


def order_of(value: Any) -> float | None:
    """What orders the values of a field: days and parts of days, or the number; None for what is neither date nor number."""
    moment = moment_of(value)
    if moment is None:
        return number_of(value)
    return float(moment.day) if moment.instant is None else moment.instant / _DAY + _EPOCH


def amount_of(value: Any) -> Decimal | None:
    """The value if it is a number, or text that is one as tables have it.

    >>> amount_of("1,250.50"), amount_of(7), amount_of("12,50"), amount_of("2024-01-02")
    (Decimal('1250.50'), Decimal('7'), None, None)
    """
    if isinstance(value, str):
        return Decimal(value.replace(",", "")) if _AMOUNT.fullmatch(value) else None
    return None if number_of(value) is None else Decimal(str(value))


def _without_order(tree: Filter | None, fields: Mapping[str, Field]) -> str:
    """The first field that a filter compares with more or less, and whose values are neither dates nor numbers."""
    compared = [each.key for each in _conditions(tree) if isinstance(each.operator, Range)]
    return next((key for key in compared if not fields[key].ordered), "")


def _object(reply: str) -> dict[str, Any] | None:
    text = without_reasoning(reply)
    start = text.find("{")
    if start < 0:
        return None
    try:
        told, _ = json.JSONDecoder(strict=False).raw_decode(text[start:])
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _ordering(fields: Mapping[str, Field]) -> str:
    for kinds in (("date",), ("date", "number")):
        found = [field.name for field in fields.values() if field.kind in kinds]
        if len(found) == 1:
            return found[0]
    return ""


def _conditions(tree: Filter | None) -> list[Condition]:
    return [] if tree is None else list(conditions(tree))


def _mended(tree: Filter, fields: Mapping[str, Field]) -> Filter:
    """The filter with the values of equality as documents have them."""

    def condition(node: Condition) -> Filter:
        if isinstance(node.operator, Equal):
            return Condition(node.key, Equal(fields[node.key].like(node.operator.value)))
        if isinstance(node.operator, OneOf):
            return Condition(node.key, OneOf(tuple(map(fields[node.key].like, node.operator.value))))
        return node

    return fold(
        tree,
        condition=condition,
        all_of=lambda parts: AllOf(tuple(parts)),
        any_of=lambda parts: AnyOf(tuple(parts)),
        negation=Not,
    )


def _name(name: str) -> str:
    return defused(in_one_line(name))[:_SHOWN_CHARACTERS]


def _told(field: Field) -> str:
    if field.kind == "text" and all(amount_of(value) is not None for value in field.values):
        return f"numbers, such as {', '.join(map(str, field.values[:_SHOWN_VALUES]))}"
    if field.ordered:
        ordered = sorted(field.values, key=lambda value: order_of(value) or 0.0)
        return f"{field.kind}s from {ordered[0]} to {ordered[-1]}"
    shown = [f"'{defused(in_one_line(str(value)))[:_SHOWN_CHARACTERS]}'" for value in field.values[:_SHOWN_VALUES]]
    more = len(field.values) - len(shown)
    return f"{field.kind}, such as {', '.join(shown)}" if more else f"{field.kind}, one of {', '.join(shown)}"
