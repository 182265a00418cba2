"""Filters that a model reads from a question: values of the index's fields, in a fixed form, held against the question."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import prompts
from rag.filters import Filter, Value, both
from rag.indexes import Field
from rag.protocols import LLM
from rag.types import Outcome, SamplingParams, Usage
from rag.writing import defused, in_one_line, kept_forms, parse_object, without_reasoning, write
from ragline_recipes.read_filters.known import Known, words_of
from ragline_recipes.read_filters.rules import Read, asks, one_of
from ragline_recipes.read_filters.spans import Bounds, bounded, written_span

_FIELDS, _VALUES, _LONGEST = 20, 30, 80
"""Fields, values of a field, and characters of a value that a model is shown and may write."""
_FILTERS, _TOGETHER = 4, 8
"""Filters of one reply, and values of one filter."""

Found = tuple[list[Read], Outcome, Usage]


class ModelReader:
    """Asks a model for the filters of questions. Safe to share between threads.

    Args:
        llm: writes JSON; where it can be held to a JSON Schema, no more than fields and values of the index.
        prompt: name or path of a prompt with the variables fields and question.
        max_tokens: most tokens of a reply.
    """

    def __init__(self, llm: LLM, *, prompt: str, max_tokens: int) -> None:
        self._llm, self._max_tokens = llm, max_tokens
        self._prompt = prompts.load(prompt)
        self._prompt.require("fields", "question", by="reformulate.filters")

    def read(self, questions: Sequence[str], knowns: Sequence[Known]) -> list[Found]:
        """The filters of each question, one call each. Questions over the same fields are asked together."""
        groups: dict[int, list[int]] = {}
        for place, known in enumerate(knowns):
            groups.setdefault(id(known), []).append(place)
        found: dict[int, Found] = {}
        for places in groups.values():
            found |= zip(places, self._group([questions[place] for place in places], knowns[places[0]]), strict=True)
        return [found[place] for place in range(len(questions))]

    def _group(self, questions: Sequence[str], known: Known) -> list[Found]:
        offered = offered_values(known, {word for question in questions for word in words_of(question)})
        told = _told(known, offered)
        asked = [[self._prompt.render(fields=told, question=in_one_line(question))] for question in questions]
        form = reply_form(known, offered) if offered and "json_schema" in kept_forms(self._llm) else ""
        written = write(
            self._llm, asked, SamplingParams(max_tokens=self._max_tokens, json_schema=form), read=without_reasoning
        )
        return [
            (*_found(question, "".join(each.texts), known, offered, each.outcome), each.usage)
            for question, each in zip(questions, written, strict=True)
        ]


def offered_values(known: Known, asked: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Field -> the values that a model may write, those with a word of the questions first; none of a field with an order.

    Of many fields those that have a role come first. A field whose every value is too long is left out.
    """
    wanted = set(asked)
    with_role = {name for names in known.roles.values() for name in names}
    offered: dict[str, tuple[Any, ...]] = {}
    for name in sorted(known.fields, key=lambda name: name not in with_role):
        field = known.fields[name]
        if len(offered) == _FIELDS or len(name) > _LONGEST or not name.isprintable():
            continue
        if field.ordered:
            offered[name] = ()
            continue
        fitting = [value for value in field.values if isinstance(value, str) and 0 < len(value) <= _LONGEST]
        named = (value for value in fitting if not wanted.isdisjoint(words_of(value)))
        if values := tuple(islice(dict.fromkeys([*islice(named, _VALUES), *fitting[:_VALUES]]), _VALUES)):
            offered[name] = values
    return offered


def reply_form(known: Known, offered: Mapping[str, Sequence[Any]]) -> str:
    """JSON Schema of a reply: these fields and values, and nothing else."""
    text = {"type": "string", "maxLength": 20}
    one = [
        _object({"field": {"const": name}, "from": text, "to": text})
        if known.fields[name].ordered
        else _object(
            {
                "field": {"const": name},
                "is": {"type": "array", "items": {"enum": [*values]}, "minItems": 1, "maxItems": _TOGETHER},
            }
        )
        for name, values in offered.items()
    ]
    return json.dumps(_object({"filters": {"type": "array", "items": {"anyOf": one}, "maxItems": _FILTERS}}))


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _told(known: Known, offered: Mapping[str, Sequence[Any]]) -> str:
    """The fields for a prompt, one a line. Their values come from documents, so each is short, quoted and on the line."""
    return "\n".join(
        f"- {_shown(name)}: {_range(known.fields[name]) if known.fields[name].ordered else _listed(values)}"
        for name, values in offered.items()
    )


def _range(field: Field) -> str:
    ordered = sorted(field.values, key=lambda value: (Value(value).number or 0, str(value)))
    return f"from {_shown(ordered[0])} to {_shown(ordered[-1])}"


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(json.dumps(_shown(value), ensure_ascii=False) for value in values)


def _shown(value: Any) -> str:
    return defused(in_one_line(str(value)))[:_LONGEST]


def _found(
    question: str, reply: str, known: Known, offered: Mapping[str, Sequence[Any]], outcome: Outcome
) -> tuple[list[Read], Outcome]:
    told = _filters(reply)
    if told is None:
        detail = "the model's reply holds no filters in the form that was asked for"
        counts = {**outcome.counts, "ok": 0, "fallback": outcome.counts.get("calls", 0), "malformed": 1}
        return [], Outcome(kind="fallback", detail=detail, counts=counts)
    counts, read = Counter[str](), dict[str, Read]()
    asked = words_of(question)
    for one in told[:_FILTERS]:
        name = one.get("field")
        if not isinstance(name, str) or name not in offered or name in read:
            counts["unknown"] += 1
            continue
        where, said = _ordered(known, name, one) if known.fields[name].ordered else _equal(name, one, offered[name])
        if where is None:
            counts["unknown"] += 1
        elif not all(_says(asked, each) for each in said):
            counts["invented"] += 1
        else:
            read[name] = Read(field=name, where=where, said=" ".join(said))
    if not counts:
        return [*read.values()], outcome
    kind = "repaired" if outcome.kind == "ok" else outcome.kind
    detail = "the model wrote filters that the question does not ask for" if counts["invented"] else ""
    detail = detail or "the model wrote filters that the index does not have"
    return [*read.values()], replace(outcome, kind=kind, detail=detail, counts={**outcome.counts, **counts})


def _filters(reply: str) -> list[dict[str, Any]] | None:
    """What the first JSON object of a reply lists; None where it lists nothing of the form."""
    filters = (parse_object(reply) or {}).get("filters")
    return filters if isinstance(filters, list) and all(isinstance(one, dict) for one in filters) else None


def _equal(name: str, one: Mapping[str, Any], offered: Sequence[Any]) -> tuple[Filter | None, list[str]]:
    values = one.get("is")
    listed = [values] if isinstance(values, str) else values if isinstance(values, list) else []
    wanted = {_shown(value) for value in listed}
    kept = [value for value in offered if _shown(value) in wanted]
    return (one_of(name, kept), [str(value) for value in kept]) if kept and len(kept) >= len(wanted) else (None, [])


def _ordered(known: Known, name: str, one: Mapping[str, Any]) -> tuple[Filter | None, list[str]]:
    """The filter of a field with an order, and the numbers that it says, which the question has to say too."""
    first, last = (str(one.get(key) or "").strip()[:20] for key in ("from", "to"))
    said = [text for text in (first, last) if text]
    if not said:
        return None, []
    if known.is_time(name):
        spans = [written_span(text) if text else None for text in (first, last)]
        if any(text and span is None for text, span in zip((first, last), spans, strict=True)):
            return None, []
        bounds = Bounds(since=spans[0].first if spans[0] else "", until=spans[1].last if spans[1] else "")
        return bounded(name, bounds, known.fields[name].kind == "date"), [text[:4] for text in said]
    where = [
        asks(name, operator, text)
        for operator, text in (("gte", first), ("lte", last))
        if Value(text).number is not None
    ]
    if len(where) != len(said):
        return None, []
    return both(where[0], where[-1]) if len(where) > 1 else where[0], said


def _says(asked: Sequence[str], value: str) -> bool:
    """Whether a question says a word of a value, also as the beginning of a longer one: PDFs for pdf."""
    return any(word.startswith(part) and (len(part) > 2 or word == part) for part in words_of(value) for word in asked)
