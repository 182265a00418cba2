"""GET /v1/documents: a document as the index holds it, passage after passage, for those who may read it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from rag.doors import contents_json, position_json
from rag.filters import Filter
from rag.indexes import Index, let_through
from rag.types import Document
from ragline_serve.http.extension import original_of
from ragline_serve.service.askers import asked_in
from ragline_serve.service.replies import ApiError, JSONReply
from ragline_serve.service.services import Services
from ragline_serve.service.wire.forms import refusals
from ragline_serve.service.wire.passages import CONTENTS_HELP, Position

AROUND = 50
"""Passages that are shown before the one that was asked for, and after it."""

_MOST_CHARACTERS = 400_000

Id = Annotated[str, Query(min_length=1, max_length=2_000, description="Of a passage, as hits and sources have it.")]


class DocumentPassage(BaseModel):
    """`repeats`: characters at the beginning of `text` that stand at the end of the passage before."""

    doc_id: str
    title: str
    text: str
    repeats: int
    position: Position
    contents: list[dict[str, Any]] | None = Field(default=None, description=CONTENTS_HELP)


class DocumentReply(BaseModel):
    """Passages of a document in their order. `asked`: the place of the one that was asked for. `url`: where the original is
    on the web, if its metadata says it."""

    title: str
    url: str | None
    asked: int
    passages: list[DocumentPassage]


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["documents"])

    @routes.get(
        "/v1/documents",
        summary="The passages of a document around one of them",
        response_model=DocumentReply,
        responses=refusals(400, 404),
    )
    def read(request: Request, id: Id, model: str | None = None) -> Response:
        index = services.serving(request, model).pipeline.index
        found = [] if index is None else around(index, id, asked_in(request, None))
        if not found:
            raise ApiError(404, "There is no such passage that you may read.", param="id", code="unknown_passage")
        return JSONReply(_described(found, id))

    return routes


def around(index: Index, passage: str, where: Filter | None) -> list[Document]:
    """A passage and its neighbours in its document, in their order; none where the passage itself does not pass the filter.

    Of very long passages fewer neighbours come, those right beside it first.
    """
    row = _row_of(passage, index)
    near = range(max(0, row - AROUND), min(len(index), row + AROUND + 1))
    allowed = let_through(index, near, where)
    if row not in allowed:
        return []
    documents = dict(zip(allowed, index.documents.many(allowed), strict=True))
    asked = documents[row]
    beside = sorted(documents, key=lambda one: abs(one - row))
    same = (asked.parent, asked.metadata.get("index_name"))
    of_it = [one for one in beside if (documents[one].parent, documents[one].metadata.get("index_name")) == same]
    kept = _within(of_it, documents)
    return [documents[one] for one in sorted(kept)]


def _row_of(passage: str, index: Index) -> int:
    """The row of a passage; -1 where there is none, so that it is refused no sooner than one that may not be read."""
    try:
        return index.documents.row(passage)
    except KeyError:
        return -1


def _within(rows: Sequence[int], documents: dict[int, Document]) -> list[int]:
    """The first rows whose texts have room together, and at least one."""
    taken = 0

    def fits(row: int) -> bool:
        nonlocal taken
        taken += len(documents[row].text)
        return taken <= _MOST_CHARACTERS

    return [*takewhile(fits, rows)] or [*rows[:1]]


def _described(passages: Sequence[Document], asked: str) -> dict[str, Any]:
    """Passages as plain data, each with how much of it the one before has said."""
    [at] = [place for place, one in enumerate(passages) if one.doc_id == asked]
    before = [None, *passages[:-1]]
    return {
        "title": passages[at].title,
        "url": original_of(passages[at]),
        "asked": at,
        "passages": [
            {
                "doc_id": one.doc_id,
                "title": one.title,
                "text": one.text,
                "repeats": _repeated(earlier, one),
                "position": position_json(one),
                **contents_json(one.contents),
            }
            for earlier, one in zip(before, passages, strict=True)
        ],
    }


def _repeated(earlier: Document | None, passage: Document) -> int:
    """How many characters at the beginning of a passage stand at the end of the one before it."""
    ends = None if earlier is None else earlier.metadata.get("end")
    begins = passage.metadata.get("start")
    if not isinstance(ends, int) or not isinstance(begins, int) or earlier is None:
        return 0
    shared = min(max(0, ends - begins), len(passage.text))
    return shared if earlier.text.endswith(passage.text[:shared]) else 0
