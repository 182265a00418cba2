"""A plan for a question about many documents, in a fixed form, and how it is read. Nothing of it is ever run as a program."""

from __future__ import annotations

import json
import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, get_args

from generators.tally_forms import forms, stems, words_of
from rag.core.errors import SpecError, did_you_mean
from rag.core.filters import REQUEST, AllOf, AnyOf, Condition, Filter, Not, as_mapping, conditions, fold, parse_where
from rag.core.filters.operators import Equal, Exists, GreaterOrEqual, LessOrEqual, OneOf, Range
from rag.core.filters.values import members, moment_of, number_of
from rag.core.replies import folded, parse_object
from rag.core.types import Document
from rag.core.words import first_words, in_one_line
from rag.stages.passages import defused
from retrievers.index.fields import Field, without_missing

Operation = Literal["count", "sum", "mean", "list", "earliest", "latest", "lowest", "highest", "group"]
_ENDS = ("earliest", "latest", "lowest", "highest")
ENDS_AND_MEAN = (*_ENDS, "mean")
_BY_FIELD = ("sum", *ENDS_AND_MEAN, "group")
Trouble = Literal["no_plan", "other_question", "unknown_operation", "unknown_field", "bad_filter"]

_KEYS = ("operation", "where", "text", "field")
_LONGEST_CONDITION = 30
_UNIT = 2  # letters of a unit in a field's name, at most
_SHOWN_VALUES = 6
_MOST_NAMED = 60
_SHOWN_CHARACTERS = 60
_AMOUNT = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", re.ASCII)
_PERIOD = re.compile(r"(?P<year>\d{4})([-/](?P<month>\d\d))?", re.ASCII)
_WORDS_FOR = """
    one two three four five six seven eight nine ten eleven twelve
    eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf
    un deux trois quatre cinq six sept huit neuf dix onze douze
    uno dos tres cuatro cinco seis siete ocho nueve diez once doce
"""
_NUMBERS = {word: place + 1 for line in _WORDS_FOR.split("\n") for place, word in enumerate(line.split())}
_DAY, _EPOCH = 86_400_000_000, 719_163
"""Microseconds of a day, and the number of the day from which instants count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done: keep the documents that pass `where` and whose text fulfils `condition`, then the operation.

    `condition`: empty where metadata says it all. `field`: what the sum, the mean, the ends and groups are of. `mended`: values
    that were put into the form that documents have.
    """

    operation: Operation
    where: Filter | None
    condition: str
    field: str
    mended: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a document has to have to be counted or left out: those of conditions on values, and `field`."""
        asked = [each.key for each in _conditions(self.where) if not isinstance(each.operator, Exists)]
        return tuple(dict.fromkeys([*asked, self.field] if self.field else asked))

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


def read_plan(reply: str, fields: Mapping[str, Field], *, table: str = "") -> Plan | Unplanned:
    """The first JSON object of a reply as a plan over these fields.

    Values of `=` and `in` that a field has in another letter case or type, or in the singular, are put right and counted, and
    so is a year or a month that a date is said to equal. earliest and latest without a field take the only one that has dates,
    or else the only one that has an order.

    Args:
        table: what the table is called whose rows are asked for. A condition that a field equals this, which is in no row, says
            which table it is, and is left out and counted.
    """
    told = parse_object(reply)
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
    is_table = bool(table) and folded(where) == folded(table)
    if is_table or _as_called(where, fields) in fields:  # no condition: it names what is looked at
        where = ""
    try:
        tree = parse_where(_quoted(where, fields), limits=REQUEST) if where else None
    except SpecError as error:
        reason = str(error).partition("\n")[0]
        return Unplanned(trouble="bad_filter", detail=f"the model wrote a condition that is none ({reason[:120]})")
    field, tree = _as_called(field, fields), _with_names(tree, fields)
    if operation in ("earliest", "latest") and not field:
        field = _ordering(fields)
    keys = [condition.key for condition in _conditions(tree)]
    needed = [field] if operation in _BY_FIELD else []
    for name in (*keys, *needed):
        if name not in fields:
            return Unplanned(
                trouble="unknown_field", detail=f"no field {name[:80]!r}. {did_you_mean(name[:80], fields)}"
            )
    amounts = field in fields and _has_amounts(fields[field])
    if operation in _ENDS and not (fields[field].ordered or amounts):
        return Unplanned(
            trouble="unknown_field", detail=f"values of {field[:80]!r} have no order: they are no dates or numbers"
        )
    if operation in ("sum", "mean") and not amounts:
        return Unplanned(trouble="unknown_field", detail=f"not all values of {field[:80]!r} are numbers")
    if wrong := _without_order(tree, fields):
        return Unplanned(trouble="bad_filter", detail=f"values of {wrong[:80]!r} have no order to compare by")
    mended, n_mended = _mended(tree, fields, table)
    return Plan(
        operation=operation,  # type: ignore[arg-type]  # it is one of them
        where=mended,
        condition=first_words(in_one_line(text), _LONGEST_CONDITION),
        field=field if needed else "",
        mended=n_mended,
    )


def plan_form(fields: Sequence[str] = ()) -> str:
    """JSON Schema of a reply, for models that can be held to one. Any operation may be `other`.

    Args:
        fields: where the most, the least or the mean is asked for, of which of these; none where anything may be.
    """
    operations: tuple[str, ...] = ENDS_AND_MEAN if fields else get_args(Operation)
    return json.dumps(
        {
            "type": "object",
            "properties": {
                "operation": {"enum": [*operations, "other"]},
                **{key: {"type": "string", "maxLength": 200} for key in _KEYS[1:]},
                **({"field": {"enum": list(fields)}} if 0 < len(fields) <= _MOST_NAMED else {}),
            },
            "required": list(_KEYS),
            "additionalProperties": False,
        }
    )


def ordered_fields(fields: Mapping[str, Field], question: str) -> tuple[str, ...]:
    """Those whose values have an order: the ones that a question names, units aside (body_mass_g: "body mass"), or else all."""
    ordered = tuple(name for name, each in fields.items() if each.ordered or _has_amounts(each))
    said = {form for word in words_of(question) for form in forms(word)}
    words = {name: [word for word in words_of(name) if len(word) > _UNIT] for name in ordered}
    return tuple(name for name in ordered if words[name] and said.issuperset(words[name])) or ordered


def told_fields(fields: Mapping[str, Field]) -> str:
    """The fields for a prompt, one a line. Their values come from documents, so each is short, quoted and on the line."""
    return "\n".join(f"- {_name(field.name)}: {_told(field)}" for field in fields.values()) or "(none)"


def value_of(document: Document, field: Field, *, last: bool = False) -> Any:
    """The value that a document is ordered by: of several the first in order, or the last; None where none has an order."""
    values = [value for value in members(document.metadata, field.name) if order_of(value) is not None]
    return (max if last else min)(values, key=lambda value: order_of(value) or 0.0, default=None)


def order_of(value: Any) -> float | None:
    """What orders the values of a field: days and parts of days, or the number, also as text; None for what is neither."""
    moment = moment_of(value)
    if moment is None:
        amount = amount_of(value)
        return None if amount is None else float(amount)
    return float(moment.day) if moment.instant is None else moment.instant / _DAY + _EPOCH


def amount_of(value: Any) -> Decimal | None:
    """The value if it is a number, or text that is one as tables have it.

    >>> amount_of("1,250.50"), amount_of(7), amount_of("12,50"), amount_of("2024-01-02")
    (Decimal('1250.50'), Decimal('7'), None, None)
    """
    if isinstance(value, str):
        return Decimal(value.replace(",", "")) if _AMOUNT.fullmatch(value) else None
    return None if number_of(value) is None else Decimal(str(value))


def _has_amounts(field: Field) -> bool:
    return all(amount_of(value) is not None for value in without_missing(field.values))


def _without_order(tree: Filter | None, fields: Mapping[str, Field]) -> str:
    """The first field that a filter compares with more or less, and whose values are neither dates nor numbers."""
    compared = [each.key for each in _conditions(tree) if isinstance(each.operator, Range)]
    return next((key for key in compared if not fields[key].ordered), "")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _as_called(name: str, fields: Mapping[str, Field]) -> str:
    """The one field that is called alike but for letter case, blanks and underscores; the name itself where none or several are."""
    alike = [each for each in fields if folded(each.replace("_", " ")) == folded(name.replace("_", " "))]
    return alike[0] if name not in fields and len(alike) == 1 else name


def _quoted(where: str, fields: Iterable[str]) -> str:
    """A filter with quotes around the names of several words, which models write as they stand in a table.

    >>> print(_quoted("Body Mass (g) > 40 and note = 'Body Mass (g)'", ["Body Mass (g)", "note"]))
    "Body Mass (g)" > 40 and note = 'Body Mass (g)'
    """
    names = sorted((name for name in fields if re.search(r"[^\w.-]", name)), key=len, reverse=True)
    if not names:
        return where
    quoted_or_named = (
        rf"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?<!\w)(?P<name>{'|'.join(map(re.escape, names))})(?!\w)"
    )
    return re.sub(quoted_or_named, lambda at: json.dumps(at[0], ensure_ascii=False) if at["name"] else at[0], where)


def _with_names(tree: Filter | None, fields: Mapping[str, Field]) -> Filter | None:
    """The filter with its fields as documents call them."""
    return tree and _changed(tree, lambda node: replace(node, key=_as_called(node.key, fields)))


def _changed(tree: Filter, condition: Callable[[Condition], Filter]) -> Filter:
    """The filter with something in the place of each condition."""
    return fold(
        tree,
        condition=condition,
        all_of=lambda parts: AllOf(tuple(parts)),
        any_of=lambda parts: AnyOf(tuple(parts)),
        negation=Not,
    )


def _ordering(fields: Mapping[str, Field]) -> str:
    for kinds in (("date",), ("date", "number")):
        found = [field.name for field in fields.values() if field.kind in kinds]
        if len(found) == 1:
            return found[0]
    return ""


def _conditions(tree: Filter | None) -> list[Condition]:
    return [] if tree is None else list(conditions(tree))


def _mended(tree: Filter | None, fields: Mapping[str, Field], table: str) -> tuple[Filter | None, int]:
    """The filter with the values of equality as documents have them, and how many conditions that changed."""
    parts = tree.parts if isinstance(tree, AllOf) else () if tree is None else (tree,)
    kept = [part for part in parts if not _names_table(part, fields, table)]
    n = len(parts) - len(kept)

    def condition(node: Condition) -> Filter:
        nonlocal n
        mended = _as_documents_have_it(node, fields[node.key])
        n += mended != node
        return mended

    if not kept:
        return None, n
    mended = _changed(kept[0] if len(kept) == 1 else AllOf(tuple(kept)), condition)
    return mended, n


def _names_table(part: Filter, fields: Mapping[str, Field], table: str) -> bool:
    """Whether a condition says no more than which table is asked."""
    if not (table and isinstance(part, Condition) and isinstance(part.operator, Equal)):
        return False
    value = fields[part.key].like(part.operator.value)
    words = set(words_of(str(value)))
    return value not in fields[part.key].values and bool(words) and words <= set(words_of(table))


def _as_documents_have_it(node: Condition, field: Field) -> Filter:
    if isinstance(node.operator, OneOf):
        return Condition(node.key, OneOf(tuple(_like(value, field) for value in node.operator.value)))
    if not isinstance(node.operator, Equal):
        return node
    value = _like(node.operator.value, field)
    days = _days_of(str(value)) if field.kind == "date" and value not in field.values else None
    if days is None:
        return Condition(node.key, Equal(value))
    first, last = days
    return AllOf((Condition(node.key, GreaterOrEqual(first)), Condition(node.key, LessOrEqual(last))))


def _like(value: Any, field: Field) -> Any:
    """The value as documents have it, also where it is a plural of theirs, or a number in words; the value itself where they
    have none like it."""
    if isinstance(value, str) and field.like(number := _NUMBERS.get(folded(value), value)) in field.values:
        return field.like(number)
    if not isinstance(value, str) or field.ordered:
        return field.like(value)
    return next((found for stem in stems(value) if (found := field.like(stem)) in field.values), value)


def _days_of(text: str) -> tuple[str, str] | None:
    """The first and the last day of a year or a month.

    >>> _days_of("2010"), _days_of("2024-02"), _days_of("2024-02-03")
    (('2010-01-01', '2010-12-31'), ('2024-02-01', '2024-02-29'), None)
    """
    form = _PERIOD.fullmatch(text)
    if form is None:
        return None
    year, month = int(form["year"]), form["month"]
    if year == 0 or (month and not 1 <= int(month) <= 12):
        return None
    first, last = (int(month), int(month)) if month else (1, 12)
    return f"{year:04}-{first:02}-01", f"{year:04}-{last:02}-{monthrange(year, last)[1]:02}"


def _name(name: str) -> str:
    return defused(in_one_line(name))[:_SHOWN_CHARACTERS]


def _told(field: Field) -> str:
    if field.kind == "text" and _has_amounts(field):
        return f"numbers, such as {', '.join(map(str, field.values[:_SHOWN_VALUES]))}"
    if field.ordered:
        ordered = sorted(field.values, key=lambda value: order_of(value) or 0.0)
        return f"{field.kind}s from {ordered[0]} to {ordered[-1]}"
    shown = [f"'{defused(in_one_line(str(value)))[:_SHOWN_CHARACTERS]}'" for value in field.values[:_SHOWN_VALUES]]
    more = len(field.values) - len(shown)
    return f"{field.kind}, such as {', '.join(shown)}" if more else f"{field.kind}, one of {', '.join(shown)}"
