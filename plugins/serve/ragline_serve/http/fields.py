"""/v1/fields: what the documents can be filtered by, and how many pass a filter, of what whoever asks may read."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from rag.filters import Filter
from rag.indexes import OF_CHUNKS, Index, fields_of
from rag.indexes import Field as IndexField
from ragline_serve.http.indexes import readable
from ragline_serve.http.search import require_filter
from ragline_serve.service.askers import asked_in
from ragline_serve.service.replies import JSONReply
from ragline_serve.service.services import Services
from ragline_serve.service.wire.forms import FILTER_HELP, Form, Where, refusals

MOST_FIELDS, MOST_VALUES = 40, 50
_LOOKED_AT = 10_000
"""Passages that fields are learnt from: reading them takes about a second, of an index of any size."""

_READERS = 8
_LONGEST_NAME, _LONGEST_VALUE = 200, 100
_FEW = 20
"""Values that anybody can choose from, however few passages have each."""


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


def router(services: Services) -> APIRouter:
    routes, known = APIRouter(tags=["search"]), _Known()

    @routes.post(
        "/v1/fields",
        summary="What the documents can be filtered by, and how many pass a filter",
        response_model=FieldsReply,
        responses=refusals(400, 404, 429, 500, 503),
    )
    async def fields(body: FieldsRequest, request: Request) -> Response:
        service = services.serving(request, body.model)
        where = asked_in(request, body.where)
        await require_filter(where, service)
        index = service.pipeline.index
        if index is None:
            return JSONReply({"fields": [], "looked_at": 0, "passages": 0, "passing": 0})
        seen = await service.checks(known.of, index, asked_in(request, None))
        passing = seen.passages if body.where is None else len(await service.checks(index.rows, where))
        return JSONReply(
            {
                "fields": [_described(field) for field in seen.fields],
                "looked_at": seen.looked_at,
                "passages": seen.passages,
                "passing": passing,
            }
        )

    return routes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    fields: tuple[IndexField, ...]
    looked_at: int
    passages: int


class _Known:
    """What was learnt of the fields for the last readers, so that the next question of theirs reads no documents."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, Filter | None], _Seen] = {}

    def of(self, index: Index, reader: Filter | None) -> _Seen:
        """The fields of what a reader may read. Two who come first together both read the documents."""
        key = (index.identity, reader)
        with self._lock:
            if key in self._seen:
                return self._seen[key]
        seen = _seen(index, reader)
        with self._lock:
            self._seen = dict([*self._seen.items()][1 - _READERS :]) | {key: seen}
        return seen


def _seen(index: Index, reader: Filter | None) -> _Seen:
    rows = readable(index, reader)
    some = rows[:: max(1, -(-len(rows) // _LOOKED_AT))]
    found = fields_of(index.documents.many(some), but_not=OF_CHUNKS | {"index_name"})
    kept = [field for field in found.values() if _can_be_chosen(field, len(some))]
    return _Seen(fields=tuple(kept[:MOST_FIELDS]), looked_at=len(some), passages=len(rows))


def _can_be_chosen(field: IndexField, n_passages: int) -> bool:
    """Whether a field parts the passages into some groups: one that names each of them, such as an id, does not."""
    if not field.name.isprintable() or not 0 < len(field.name) <= _LONGEST_NAME:
        return False
    return field.ordered or len(field.values) <= max(_FEW, n_passages // 2)


def _described(field: IndexField) -> Mapping[str, Any]:
    finite = (value for value in field.values if not isinstance(value, float) or math.isfinite(value))
    values = [value for value in finite if len(str(value)) <= _LONGEST_VALUE][:MOST_VALUES]
    return {"name": field.name, "kind": field.kind, "values": values, "more": len(values) < len(field.values)}
